// Owns where and how a server listens, and what is said if it cannot.
import { MkvError, reasonOf } from "../errors";
import { type Admission } from "./admission";

/** On all addresses, if none is named. */
export type Listening = { readonly port: number; readonly bind: string | undefined };

/** How a thread serves clients; `shared` if several listen on the same port. */
export type Serving = Listening & {
  readonly verbose: boolean;
  readonly shared: boolean;
  readonly admission: Admission;
};

/** Throws MkvError failed if something listens on the port already: threads that share it would not notice. */
export function requireFreePort({ port, bind }: Listening, flag: string): void {
  try {
    Bun.listen({ port, hostname: bind ?? "0.0.0.0", socket: { data() {} } }).stop(true);
  } catch (error) {
    throw portError({ port, bind }, error, flag);
  }
}

/** The failure to listen there; `flag` is the one that names the port. */
export function portError({ port, bind }: Listening, error: unknown, flag = "-port"): MkvError {
  const { code } = error as { code?: string };
  const where = bind === undefined ? "" : ` of ${bind}`;
  const why =
    code === "EADDRINUSE" ? `is in use: choose another with ${flag}` : `cannot be listened on: ${reasonOf(error)}`;
  return new MkvError("failed", `port ${port}${where} ${why}`, { cause: error });
}
