// Stop that stops: a chat transport of the AI SDK only disconnects when the page says stop, and the run goes on unseen.
// Wrapped, an abort also cancels what runs in the chat. Nothing of `ai` is imported: any transport with its two verbs will do.
// It must never cancel because a page reconnects, reloads or closes.

/** The part of the SDK's ChatTransport that is needed. */
export interface Transport {
  sendMessages(options: Request): Promise<unknown>
  reconnectToStream(options: Request): Promise<unknown>
}

interface Request {
  readonly chatId: string
  readonly abortSignal?: AbortSignal | undefined
  readonly headers?: Record<string, string> | Headers | undefined
}

export interface StoppableOptions {
  /** As the transport has it. Default `/api/chat`. */
  readonly api?: string
  /** For the cancel; default: those of the request that is aborted. */
  readonly headers?: Readonly<Record<string, string>>
  readonly credentials?: RequestCredentials
  readonly fetch?: typeof fetch
  /** Told when a cancel could not be delivered; the run goes on then. */
  readonly onError?: (error: unknown) => void
}

/** The same transport, whose abort cancels: `useChat({ transport: stoppable(new DefaultChatTransport()) })`. */
export function stoppable<T extends object>(
  transport: T & { [K in keyof Transport]: unknown },
  options: StoppableOptions = {},
): T {
  const inner = transport as unknown as Transport
  const { api = '/api/chat', credentials, onError = () => {} } = options
  /** Of each chat, how many requests there were: a newer one takes over from one that the SDK aborts for it. */
  const requests = new Map<string, number>()

  const cancel = async ({ chatId, headers }: Request): Promise<void> => {
    const fetching = options.fetch ?? globalThis.fetch
    try {
      const response = await fetching(`${api}/${encodeURIComponent(chatId)}`, {
        method: 'DELETE',
        headers: { ...Object.fromEntries(new Headers(headers)), ...options.headers },
        ...(credentials && { credentials }),
        keepalive: true, // a page that is left meanwhile still delivers it
      })
      if (!response.ok) throw new Error(`DELETE ${api}/${chatId} answered ${response.status}`)
    } catch (error) {
      onError(error)
    }
  }

  const watched = <R>(request: Request, act: () => Promise<R>): Promise<R> => {
    const { chatId, abortSignal } = request
    const number = (requests.get(chatId) ?? 0) + 1
    requests.set(chatId, number)
    const stopped = () => {
      // The SDK aborts a resume for the next one, which it asks for in the same turn.
      queueMicrotask(() => {
        if (requests.get(chatId) === number) void cancel(request)
      })
    }
    abortSignal?.addEventListener('abort', stopped, { once: true })
    return act()
  }

  // All else the transport has stays reachable: the SDK asks it for more than its verbs.
  return Object.create(transport, {
    sendMessages: { value: (request: Request) => watched(request, () => inner.sendMessages(request)) },
    reconnectToStream: { value: (request: Request) => watched(request, () => inner.reconnectToStream(request)) },
  }) as T
}
