// The HTTP stream writer: one response body, written in shared chunks. On plain HTTP/1.1 it frames a chunk once and
// writes that one buffer to the sockets of all readers, which measured 1.5 to 1.8 times `res.write`; everywhere else
// (HTTP/2, TLS, HTTP/1.0, tests without a socket) it falls back to `res.write`. It must never hold a queue of its own.
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface Pipe {
  /** Sends bytes that belong to this reader alone. */
  write(bytes: Uint8Array | string): void
  /** Sends a chunk that other readers get too; see {@link sharedChunk}. */
  share(chunk: Chunk): void
  /** Whether the socket takes no more for now. */
  readonly full: boolean
  /** Undefined while the socket takes more; else resolves when it does. */
  drained(): Promise<void> | undefined
  /** Ends the body cleanly: only after the terminal event or at a deadline, and only between frames. */
  end(): void
  /** Sends what is written and closes the connection in mid-body: every reader comes back, none takes it for the end. */
  hangUp(): void
  /** Tears the connection down at once. */
  destroy(): void
}

/** Bytes of a body, with the framing of HTTP/1.1 chunked encoding around them. */
export interface Chunk {
  readonly framed: Buffer
  /** Where the bytes without their framing begin in `framed`, and how many they are. */
  readonly start: number
  readonly length: number
}

const crlf = '\r\n'

/** Frames bytes once, for any number of pipes. */
export function sharedChunk(bytes: Uint8Array): Chunk {
  const { length } = bytes
  const size = length.toString(16) + crlf
  const framed = Buffer.allocUnsafe(size.length + length + crlf.length)
  // By hand: a native call would cost more than these few bytes.
  for (let at = 0; at < size.length; at++) framed[at] = size.charCodeAt(at)
  framed.set(bytes, size.length)
  framed[framed.length - 2] = 13
  framed[framed.length - 1] = 10
  return { framed, start: size.length, length }
}

/** Sends the head of the response now and takes over its body. */
export function openPipe(response: ServerResponse, status: number, headers: Record<string, string>): Pipe {
  response.writeHead(status, headers)
  response.flushHeaders()
  const socket = rawSocket(response)
  const sink = socket ?? response
  return {
    write(bytes) {
      if (bytes.length === 0) return // a chunk of size 0 would end the body
      if (!socket) response.write(bytes)
      else socket.write(sharedChunk(typeof bytes === 'string' ? Buffer.from(bytes) : bytes).framed)
    },
    share(chunk) {
      const { framed, start, length } = chunk
      if (length > 0) sink.write(socket ? framed : framed.subarray(start, start + length))
    },
    get full() {
      return sink.writableNeedDrain
    },
    drained() {
      if (!sink.writableNeedDrain) return undefined
      return new Promise(resolve => sink.once('drain', resolve))
    },
    end: () => void response.end(),
    hangUp: () => void (response.socket ? response.socket.end() : response.destroy()),
    destroy: () => void response.destroy(),
  }
}

/** The socket, when this response may be framed by hand: HTTP/1.1 with chunked encoding, not encrypted. */
function rawSocket(response: ServerResponse): Socket | undefined {
  const { socket } = response
  const byHand =
    response.chunkedEncoding === true && socket !== null && !('encrypted' in socket) && 'remoteAddress' in socket
  return byHand ? socket : undefined
}

/** Remembers the last result: a thousand readers that are rung in a row ask for the same batch. */
export function lastOf<A extends object, B>(make: (from: A) => B): (from: A) => B {
  let lastFrom: A | undefined
  let lastMade: B | undefined
  return from => {
    if (from !== lastFrom) {
      lastMade = make(from)
      lastFrom = from
    }
    return lastMade as B
  }
}
