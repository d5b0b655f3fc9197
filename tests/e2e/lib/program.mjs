// Child processes: started, watched, and never left behind.
import { spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { eventually, within } from "./deadline.mjs";

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const target = path.resolve(repository, process.env.CARGO_TARGET_DIR ?? "target");

/** The programs under test: built by `tests/run`, or named by the environment. */
export const ADMIN_SERVER = process.env.ADMIN_SERVER_BIN ?? path.join(target, "release/admin-server");
export const PROTOCOL_SUITE = process.env.PROTOCOL_SUITE_BIN ?? path.join(target, "release/protocol-suite");

/** The examples of one file each, in the debug build that `cargo test` makes. */
export const EXAMPLES = process.env.EXAMPLES_DIR ?? path.join(target, "debug/examples");

const LISTENING = /^listening on (https?:\/\/\S+)$/;
const running = new Set();
process.on("exit", () => running.forEach((program) => program.kill("SIGKILL")));

export class Program {
  stdout = "";
  stderr = "";
  #child;

  /** Only the given environment reaches the program: a developer's own settings must not. */
  constructor(binary, args, env = {}) {
    this.#child = spawn(binary, args, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this);
    // A failed test must not wait for its program: the exit of this process ends it.
    this.#child.unref();
    this.#child.stdout.unref();
    this.#child.stderr.unref();
    this.#child.stdout.setEncoding("utf8").on("data", (text) => (this.stdout += text));
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.stderr += text));
    this.exited = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (code, signal) => resolve({ code, signal }));
    }).finally(() => {
      running.delete(this);
      this.over = true;
    });
    this.exited.catch(() => {});
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  /** The address in the `listening on` line. */
  async listening(ms = 10_000) {
    const line = () => this.stdout.split("\n").slice(0, -1).find((text) => LISTENING.test(text));
    await eventually(() => line() || this.over, "the listening line", ms);
    if (!line()) {
      const end = await this.exited;
      throw new Error(`the program ended with ${JSON.stringify(end)}:\n${this.stdout}${this.stderr}`);
    }
    return LISTENING.exec(line())[1];
  }

  async stop() {
    this.kill("SIGKILL");
    await within(this.exited, "the end of a killed program");
  }
}

/** Runs a program to its end. */
export async function run(binary, args, env) {
  const program = new Program(binary, args, env);
  try {
    const { code, signal } = await within(program.exited, `the end of ${args.join(" ")}`, 10_000);
    return { code, signal, stdout: program.stdout, stderr: program.stderr };
  } finally {
    program.kill("SIGKILL");
  }
}

/** A running `protocol-suite engine` or `protocol-suite socket`. */
export async function startSuite(kind, port = 0) {
  const program = new Program(PROTOCOL_SUITE, [kind, "--port", String(port)]);
  const url = await program.listening();
  return { program, url, port: Number(new URL(url).port), path: `/${kind}.io/`, stop: () => program.stop() };
}
