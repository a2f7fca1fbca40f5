// Tells of changed files in folders and what is below them. Not fs.watch's own recursion, which would look into every
// package of node_modules; here what nobody edits is left out, and the number of watchers is bounded.
import { type FSWatcher, readdirSync, watch } from 'node:fs'
import { basename, join, resolve } from 'node:path'

export interface FolderWatcher extends Disposable {
  add(folders: readonly string[]): void
}

/** Editors write a file in several steps, and formatters many files at once. */
const settleMs = 150
/** More folders than a project of agents has; a home folder by mistake does not use up the system's watches. */
const foldersMax = 500
/** What somebody edits: code and configuration. Not logs, databases or redirected output, which the server itself writes. */
const watched = /(^(Dockfile|\.env.*)|\.([mc]?[jt]sx?|json|ya?ml|toml))$/
const ignoredFolders = /^(node_modules|dist|coverage|\..*)$/

export function watchFolders(folders: readonly string[], changed: (path: string) => void): FolderWatcher {
  const watchers = new Map<string, FSWatcher>()
  let timer: NodeJS.Timeout | undefined

  const add = (folder: string) => {
    if (watchers.has(folder) || watchers.size >= foldersMax) return
    try {
      const watcher = watch(folder, (_event, name) => {
        if (name === null || !watched.test(basename(name))) return
        clearTimeout(timer)
        timer = setTimeout(() => {
          for (const known of watchers.keys()) below(known)
          changed(join(folder, name))
        }, settleMs)
      })
      watcher.on('error', () => forget(folder)) // the folder is gone
      watchers.set(folder, watcher)
      below(folder)
    } catch {
      // Not there, or not ours to read: then nobody edits agents in it either.
    }
  }
  const below = (folder: string) => {
    try {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory() && !ignoredFolders.test(entry.name)) add(join(folder, entry.name))
      }
    } catch {
      forget(folder)
    }
  }
  const forget = (folder: string) => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }

  const addAll = (more: readonly string[]) => more.forEach(folder => add(resolve(folder)))
  addAll(folders)
  return {
    add: addAll,
    [Symbol.dispose]() {
      clearTimeout(timer)
      for (const folder of watchers.keys()) forget(folder)
    },
  }
}
