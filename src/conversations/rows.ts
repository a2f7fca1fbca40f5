// Rows of the store as what they stand for, and back. Here alone a bigint that Postgres gives as text becomes a number,
// JSON is parsed, and null becomes absent.
import type { Claim, Conversation } from './entries.ts'
import type { Block, Message, MessageMetadata, Role } from './message.ts'
import { type ConversationRow, fromColumn, type MessageRow, toColumn } from './tables.ts'

export function conversationOf(row: ConversationRow): Conversation {
  return {
    cursor: Number(row.cursor),
    cursor_time: row.cursor_time,
    base: Number(row.base),
    ...(row.shown_at !== null && { shown_at: Number(row.shown_at) }),
    ...(row.title !== null && { title: row.title }),
    ...(row.title_at !== null && { title_at: Number(row.title_at) }),
    ...(row.user_id !== null && { user_id: fromColumn(row.user_id) }),
    created_at: Number(row.created_at),
    updated_at: Number(row.updated_at),
    claims: JSON.parse(row.claims) as Claim[],
  }
}

export function conversationRow(tenant: string, thread: string, conversation: Conversation): ConversationRow {
  const { user_id } = conversation
  return {
    tenant: toColumn(tenant),
    thread: toColumn(thread),
    cursor: conversation.cursor,
    cursor_time: conversation.cursor_time,
    base: conversation.base,
    shown_at: conversation.shown_at ?? null,
    title: conversation.title ?? null,
    title_at: conversation.title_at ?? null,
    user_id: user_id === undefined ? null : toColumn(user_id),
    created_at: conversation.created_at,
    updated_at: conversation.updated_at,
    claims: JSON.stringify(conversation.claims),
  }
}

export function messageOf(row: MessageRow): Message {
  return {
    id: fromColumn(row.id),
    conversation_id: fromColumn(row.thread),
    role: row.role as Role,
    timestamp: new Date(Number(row.created_at)).toISOString(),
    content: JSON.parse(row.content) as Block[],
    metadata: JSON.parse(row.metadata) as MessageMetadata,
    ...(row.user_id !== null && { user_id: fromColumn(row.user_id) }),
    ...(row.company_id !== null && { company_id: fromColumn(row.company_id) }),
    ...(row.run_id !== null && { run_id: row.run_id }),
    position: Number(row.position),
  }
}

export function messageRow(tenant: string, thread: string, message: Message, position: number): MessageRow {
  const { id, role, timestamp, user_id, company_id, run_id, content, metadata } = message
  return {
    tenant: toColumn(tenant),
    id: toColumn(id),
    thread: toColumn(thread),
    position,
    role,
    created_at: Date.parse(timestamp),
    user_id: user_id === undefined ? null : toColumn(user_id),
    company_id: company_id === undefined ? null : toColumn(company_id),
    run_id: run_id ?? null,
    content: JSON.stringify(content),
    metadata: JSON.stringify(metadata),
  }
}
