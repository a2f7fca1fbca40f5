// Installs what is missing before `npm start` and `npm test`, so that each works in a fresh clone as it is:
// `node scripts/install.mjs start` leaves out what only developers need, `… test` installs all; both build the page.
// Plain JavaScript on purpose: it runs on whatever Node the machine has, down to Debian's 18. It must never change
// package-lock.json, nor remove what is installed.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync, symlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const nodePackage = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
const nodeFile = join('node_modules', nodePackage, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
/** What npm says of what it installed. */
const installedFile = join(root, 'node_modules', '.package-lock.json')
const pageDir = join(root, 'web')
/** What the page is made of; a change there builds it again. */
const pageSources = [
  'web',
  'src/client',
  'src/react',
  'src/state',
  'src/transports/http',
  'src/error.ts',
  'src/event.ts',
  'src/iterate.ts',
  'src/batch.ts',
  'package-lock.json',
]
/** An older Node makes npm leave out the native parts of the build tools, silently: they are optional, for npm. */
const npmNodeMin = [20, 19]
/** Runs the sources as they are; the same as `engines` says. */
const nodeMin = { 22: 22, 24: 6 }

const purpose = process.argv[2] ?? 'test'
const lock = packagesOf(join(root, 'package-lock.json'))
if (!isInstalled()) install()
linkNode()
const node = projectNode()
if (!isPageFresh()) buildPage()

/** By content, not by date: a checkout touches files that it does not change. */
function isInstalled() {
  const there = packagesOf(installedFile)
  return Object.entries(lock).every(([path, { version, optional, devOptional, dev, link }]) => {
    if (!path.startsWith('node_modules/') || link) return true
    if (path === `node_modules/${nodePackage}`) return existsSync(join(root, nodeFile))
    if (optional || devOptional || (dev && purpose === 'start')) return true
    return there[path]?.version === version
  })
}

function install() {
  process.stderr.write('Installing the dependencies (once; they go to node_modules) …\n')
  const forDevelopers = Object.values(packagesOf(installedFile)).some(({ dev }) => dev)
  const omit = purpose === 'start' && !forDevelopers ? ['--omit=dev'] : []
  // Not `npm ci`: after a start, a test adds what is missing and need not begin anew.
  npm(isAtLeast(process.versions.node, npmNodeMin) ? process.execPath : fetchNode(), ['install', ...omit])
}

/** The project's Node ahead of everything else, for npm to run on. */
function fetchNode() {
  const dir = join(root, '.cache', 'node')
  const wanted = lock[`node_modules/${nodePackage}`]?.version
  if (wanted === undefined) return process.execPath
  if (packagesOf(join(dir, 'node_modules', '.package-lock.json'))[`node_modules/${nodePackage}`]?.version !== wanted) {
    mkdirSync(dir, { recursive: true })
    npm(process.execPath, ['install', '--prefix', dir, '--no-package-lock', `${nodePackage}@${wanted}`])
  }
  return join(dir, nodeFile)
}

function npm(onNode, words) {
  const quiet = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  run(onNode, ['--no-deprecation', npmFile(), ...words, ...quiet], root)
}

/** npm's own file, so that it can be run on another Node than its own. */
function npmFile() {
  const told = process.env.npm_execpath
  if (told?.endsWith('npm-cli.js')) return told
  const folders = (process.env.PATH ?? '').split(delimiter)
  const found = folders.map(folder => join(folder, 'npm')).find(file => existsSync(file))
  if (found !== undefined && process.platform !== 'win32') return realpathSync(found)
  return join(dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js')
}

/** npm 9 takes the link away again when it drops the Nodes of other platforms. Scripts find `node` by it. */
function linkNode() {
  const link = join(root, 'node_modules', '.bin', 'node')
  if (process.platform === 'win32' || existsSync(link) || !existsSync(join(root, nodeFile))) return
  symlinkSync(join('..', nodePackage, 'bin', 'node'), link)
}

function projectNode() {
  if (existsSync(join(root, nodeFile))) return join(root, nodeFile)
  const major = Number(process.versions.node.split('.')[0])
  if (major > 24 || isAtLeast(process.versions.node, [major, nodeMin[major] ?? Infinity])) return process.execPath
  return fail(
    `Runcast needs Node 24.6 or newer (or 22.22); this is ${process.versions.node}, and npm has none for here`,
  )
}

/** A page that does not build keeps nobody from the API; its own tests fail. */
function buildPage() {
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js')
  const done = spawnSync(node, [vite, 'build', '--logLevel=warn'], { cwd: pageDir, stdio: ['ignore', 2, 2] })
  if (done.status !== 0) process.stderr.write('The page was not built, see above. Everything else works without it.\n')
}

function isPageFresh() {
  if (!existsSync(join(pageDir, 'vite.config.ts'))) return true
  const built = join(pageDir, 'dist', 'index.html')
  return existsSync(built) && pageSources.every(source => newest(join(root, source)) <= statSync(built).mtimeMs)
}

/** When the youngest file under the path was written; 0 when there is none. */
function newest(path) {
  if (!existsSync(path)) return 0
  const about = statSync(path)
  if (!about.isDirectory()) return about.mtimeMs
  const names = readdirSync(path).filter(name => name !== 'dist' && name !== 'node_modules')
  return Math.max(0, ...names.map(name => newest(join(path, name))))
}

function packagesOf(lockFile) {
  return existsSync(lockFile) ? JSON.parse(readFileSync(lockFile, 'utf8')).packages : {}
}

function isAtLeast(version, [major, minor]) {
  const [ownMajor, ownMinor] = version.split('.').map(Number)
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
}

function run(program, words, cwd) {
  // Not to standard output: what a script prints there is its answer.
  const done = spawnSync(program, words, { cwd, stdio: ['ignore', 2, 2] })
  if (done.error) fail(`${program} does not start: ${done.error.message}`)
  if (done.status !== 0) process.exit(done.status ?? 1)
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
