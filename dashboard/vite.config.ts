import { defineConfig } from "vitest/config";

// The bundle is committed and embedded in the worker: file names carry a hash
// of their content, nothing carries a time, and nothing is inlined (the page's
// Content-Security-Policy allows only files of its own origin).
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npm run dev` shows the pipeline that `stockpipe up` runs on this machine.
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
  test: { include: ["src/**/*.test.ts"] },
});
