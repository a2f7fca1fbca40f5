// `runcast/formats`: a run's events as bytes of other protocols, and back; vectors as data of `embedding` events. Names
// only; a door of its own, because it brings protobuf with it.
export { chat, chatJson } from './chat.ts'
export { dashstream } from './dashstream.ts'
export { embedding, type EmbeddingData, type EmbeddingEncoding, vectorOf } from './embedding.ts'
export type { Decoded, Decoder, Encoder, Format, Identity, Message, Problem, RunBatch } from './format.ts'
export { ndjson } from './json.ts'
