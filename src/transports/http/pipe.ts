// The HTTP stream writer: one response body, written in shared chunks. On plain HTTP/1.1 it frames a chunk once and
// writes that one buffer to the sockets of all readers, which measured 1.5 to 1.8 times `res.write`; everywhere else
// (HTTP/2, TLS, HTTP/1.0, tests without a socket) it falls back to `res.write`. It must never hold a queue of its own.
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'

/** Bytes of a body, made ready once for any number of pipes. */
export interface Chunk {
  readonly bytes: Uint8Array
  /** The same with the framing of HTTP/1.1 chunked encoding around them; not for large ones, which are not copied. */
  readonly framed: Buffer | undefined
}

const crlf = '\r\n'
/** From here on, three small writes in one system call cost less than a copy. */
const copiedBytesMax = 16 * 1024

export function sharedChunk(bytes: Uint8Array): Chunk {
  return { bytes, framed: bytes.length <= copiedBytesMax ? framedOf(bytes) : undefined }
}

function framedOf(bytes: Uint8Array): Buffer {
  const size = sizeLine(bytes)
  const framed = Buffer.allocUnsafe(size.length + bytes.length + crlf.length)
  // By hand: a native call would cost more than these few bytes.
  for (let at = 0; at < size.length; at++) framed[at] = size.charCodeAt(at)
  framed.set(bytes, size.length)
  framed[framed.length - 2] = 13
  framed[framed.length - 1] = 10
  return framed
}

function sizeLine(bytes: Uint8Array): string {
  return bytes.length.toString(16) + crlf
}

/** One response body. A class with few fields: whatever a reader's objects weigh is fetched from memory for each delivery. */
export class Pipe {
  private readonly response: ServerResponse
  /** Set where chunks are framed by hand. */
  private socket: Socket | undefined
  private sink: Writable

  constructor(response: ServerResponse) {
    this.response = response
    this.socket = undefined
    this.sink = response
  }

  /** Sends the head of the response now and takes over its body. */
  begin(status: number, headers: Record<string, string>): void {
    const { response } = this
    response.writeHead(status, headers)
    const socket = rawSocket(response)
    // What is there already, often the whole run, leaves with the head in one system call.
    socket?.cork()
    response.flushHeaders()
    if (socket) process.nextTick(() => socket.uncork())
    this.socket = socket
    this.sink = socket ?? response
  }

  /** Sends bytes that belong to this reader alone. */
  write(bytes: Uint8Array | string): void {
    this.share(sharedChunk(typeof bytes === 'string' ? Buffer.from(bytes) : bytes))
  }

  /** Sends a chunk that other readers get too; see {@link sharedChunk}. */
  share({ bytes, framed }: Chunk): void {
    const { socket } = this
    if (bytes.length === 0) return // a chunk of size 0 would end the body
    if (!socket) this.response.write(bytes)
    else if (framed) socket.write(framed)
    else {
      socket.cork()
      socket.write(sizeLine(bytes), 'latin1')
      socket.write(bytes)
      socket.write(crlf, 'latin1')
      socket.uncork()
    }
  }

  /** Whether the socket takes no more for now. */
  get full(): boolean {
    return this.sink.writableNeedDrain
  }

  /** Undefined while the socket takes more; else resolves when it does. */
  drained(): Promise<void> | undefined {
    if (!this.sink.writableNeedDrain) return undefined
    return new Promise(resolve => this.sink.once('drain', resolve))
  }

  /** Ends the body cleanly: only after the terminal event or at a deadline, and only between frames. */
  end(): void {
    this.response.end()
  }

  /** Sends what is written and closes the connection in mid-body: every reader comes back, none takes it for the end. */
  hangUp(): void {
    if (this.response.socket) this.response.socket.end()
    else this.response.destroy()
  }

  /** Tears the connection down at once. */
  destroy(): void {
    this.response.destroy()
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
