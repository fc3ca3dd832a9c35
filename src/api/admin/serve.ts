// Owns the socket of the admin port, of the first thread alone.
import { type Listening, portError } from "../listening";
import { type Admin } from "./dialect";

/** Serves until it is disposed of. Throws MkvError failed if the port is not to be had. */
export function serveAdmin(admin: Admin, { port, bind }: Listening): Disposable {
  try {
    const server = Bun.serve({
      port,
      ...(bind !== undefined && { hostname: bind }),
      development: false,
      fetch: (request) => admin.answer(request),
    });
    return { [Symbol.dispose]: () => void server.stop(true) };
  } catch (error) {
    throw portError({ port, bind }, error, "-adminport");
  }
}
