// The files that are imported as text: the script `volume`, and the parts of the page for people.
declare module "*/volume" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.page.js" {
  const text: string;
  export default text;
}
