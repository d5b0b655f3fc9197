/// <reference types="vitest/config" />
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Where `npm run dev` finds the server. */
const SERVER = process.env["ADMIN_SERVER"] ?? "http://127.0.0.1:3080";

/** Less than that is not worth a second file. */
const MIN_BYTES = 1024;

/** Puts a compressed file beside each that is large: the server sends it to those who take it. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      for (const file of Object.values(bundle)) {
        const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
        if (!/\.(js|css|svg)$/.test(file.fileName) || source.length < MIN_BYTES) continue;
        this.emitFile({ type: "asset", fileName: `${file.fileName}.gz`, source: gzipSync(source, { level: 9 }) });
      }
    },
  },
};

export default defineConfig({
  plugins: [react(), compressed],
  build: {
    // Everything is a file of its own: the Content-Security-Policy allows no data: but for pictures.
    assetsInlineLimit: 0,
    // One style sheet: a screen that is loaded a second time would come without its own.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    // The build script gives the folder.
    outDir: process.env["ADMIN_UI_OUT"] ?? "dist",
    emptyOutDir: true,
  },
  server: {
    proxy: {
      "/api": SERVER,
      "/socket.io": { target: SERVER, ws: true },
    },
  },
  test: { include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
});
