// Owns a password file as nginx's auth_basic reads it, for one user.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Login {
  user: string;
  password: string;
}

/** Writes `user:{SHA}...` into the folder and returns the file's path. */
export function passwordFile(folder: string, { user, password }: Login): string {
  const path = join(folder, "passwords");
  const digest = createHash("sha1").update(password).digest("base64");
  writeFileSync(path, `${user}:{SHA}${digest}\n`, { mode: 0o644 });
  return path;
}

/** The value of an Authorization header. */
export function basic({ user, password }: Login): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}
