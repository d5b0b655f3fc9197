/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where `npm run dev` finds the server. */
const SERVER = process.env["ADMIN_SERVER"] ?? "http://127.0.0.1:3080";

export default defineConfig({
  plugins: [react()],
  build: {
    // Everything is a file of its own: the Content-Security-Policy allows no data: but for pictures.
    assetsInlineLimit: 0,
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
