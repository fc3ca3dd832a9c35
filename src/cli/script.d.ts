// Owns the type of the script `volume`, which `volume.ts` imports as text.
declare module "*/volume" {
  const script: string;
  export default script;
}
