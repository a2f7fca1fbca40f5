// How the page is built: one entry, what is heavy (charts, the inspector) in files of its own that load on first use.
// It reads the sources of the client and the view as they are. Paths are relative, so the page works below any prefix.
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const api = /^\/(runs|threads|conversations|schema|info|health)/

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // The chart library alone is larger; it is not part of the first load.
    chunkSizeWarningLimit: 1_200,
    assetsInlineLimit: 0,
  },
  server: {
    // `npx vite web` beside `npm start`: the page from the sources, the API from the server.
    proxy: { [api.source]: 'http://127.0.0.1:8080' },
  },
})
