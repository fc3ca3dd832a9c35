// The script `volume`, imported as text.
declare const script: string;
export default script;
