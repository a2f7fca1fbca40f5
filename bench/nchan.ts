// nchan, the fan-out of nginx in C, where Debian's libnginx-mod-nchan is installed: events are published by POST on a
// kept connection, as a server beside it would do. Its CPU time includes taking them in.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scenario } from './fanout.ts'
import { frameOfRaw } from './frames.ts'
import { load } from './load.ts'

const module = '/usr/lib/nginx/modules/ngx_nchan_module.so'
const clockTicksPerSecond = 100

/** Deliveries per CPU-second, or undefined where nchan is not installed. */
export async function nchan({ readersPerRun: readers, events }: Scenario): Promise<number | undefined> {
  if (!existsSync(module)) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'runcast-nchan-'))
  const port = await freePort()
  writeFileSync(join(dir, 'nginx.conf'), configuration(dir, port))
  const nginx = spawn('/usr/sbin/nginx', ['-c', join(dir, 'nginx.conf'), '-p', dir], { stdio: 'ignore' })
  try {
    await new Promise(resolve => setTimeout(resolve, 500))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const work = load({ port, path: '/sub', readers })
    await work.ready
    const before = cpuOf(nginx.pid as number)
    for (let n = 1; n <= events; n++)
      await publish(port, agent, frameOfRaw('run', n).toString().split('\n')[1]?.slice(6) ?? '')
    await new Promise(resolve => setTimeout(resolve, 500))
    const cpu = cpuOf(nginx.pid as number) - before
    agent.destroy()
    return (readers * events) / cpu
  } finally {
    nginx.kill('SIGTERM')
    rmSync(dir, { recursive: true, force: true })
  }
}

function publish(port: number, agent: Agent, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const posting = request(
      {
        port,
        host: '127.0.0.1',
        path: '/pub',
        method: 'POST',
        agent,
        headers: { 'content-length': Buffer.byteLength(body) },
      },
      answer => {
        answer.resume()
        const { statusCode = 0 } = answer
        if (statusCode >= 300) reject(new Error(`nchan answered ${statusCode}`))
        answer.once('end', resolve)
      },
    )
    posting.once('error', reject)
    posting.end(body)
  })
}

/** CPU seconds of a process and its children. */
function cpuOf(pid: number): number {
  const children = readdirSync('/proc').filter(name => /^\d+$/.test(name) && statOf(name)?.[3] === String(pid))
  return [String(pid), ...children].reduce((sum, name) => {
    const stat = statOf(name)
    return sum + (Number(stat?.[13] ?? 0) + Number(stat?.[14] ?? 0)) / clockTicksPerSecond
  }, 0)
}

function statOf(pid: string): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/\(.*\)/, 'x')
      .split(' ')
  } catch {
    return undefined
  }
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

const configuration = (dir: string, port: number) => `load_module ${module};
daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 4096; }
http { access_log off; client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir}; uwsgi_temp_path ${dir}; scgi_temp_path ${dir};
  keepalive_requests 1000000; nchan_shared_memory_size 128M;
  server { listen 127.0.0.1:${port};
    location = /sub { nchan_subscriber eventsource; nchan_channel_id bench; nchan_eventsource_event message; }
    location = /pub { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 100; } } }
`
