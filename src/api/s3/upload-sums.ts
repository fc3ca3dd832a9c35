// Owns the sums of an upload in parts: what is asked for at its beginning, and what the object has at its end: a sum of the
// sums of its parts (COMPOSITE), or one of all its bytes (FULL_OBJECT).
import { type Part, type Upload } from "../../store/uploads";
import { type Algorithm, type Summing, algorithmNamed, headerOf, newChecksum } from "./checksums";
import { requireSame, requireSum, sumIn } from "./checksums";
import { S3Error } from "./errors";
import { type S3Request } from "./request";

type Sums = Pick<Upload, "sums" | "isWhole">;

/** What an upload that begins is to have. Throws S3Error InvalidRequest, NotImplemented. */
export function sumsAsked({ header }: S3Request): Sums {
  const sums = algorithmNamed(header("x-amz-checksum-algorithm"));
  const type = header("x-amz-checksum-type")?.toUpperCase();
  const isWhole = type === "FULL_OBJECT" || (type === undefined && sums === "crc64nvme");
  const isType = isWhole ? sums?.startsWith("crc") : type === "COMPOSITE" && sums !== undefined && sums !== "crc64nvme";
  if (type !== undefined && !isType)
    throw new S3Error("InvalidRequest", `x-amz-checksum-type is not ${type} with the algorithm ${sums ?? "none"}`);
  return sums ? { sums, isWhole } : {};
}

/** What is told of the sums of an upload. */
export function sumsTold(upload: Sums): [name: "Algorithm" | "Type", value: string][] {
  if (!upload.sums) return [];
  return [
    ["Algorithm", upload.sums.toUpperCase()],
    ["Type", typeOf(upload)],
  ];
}

function typeOf({ sums, isWhole }: Sums): string {
  return sums && !isWhole ? "COMPOSITE" : "FULL_OBJECT";
}

/**
 * The sum that is made of the bytes of the object, at the end of the upload. Throws S3Error BadDigest if one of its parts is
 * meant, and is another; some name that without the number of parts. Throws InvalidRequest if another type is meant.
 */
export function summingOf(
  { request, header }: S3Request,
  { upload, composite }: { upload: Upload; composite: Record<string, string> },
): Summing | undefined {
  const type = header("x-amz-checksum-type")?.toUpperCase() ?? typeOf(upload);
  if (type !== typeOf(upload))
    throw new S3Error("InvalidRequest", `the checksum of this upload is of type ${typeOf(upload)}, not ${type}`);
  const meant = sumIn(request.headers);
  const known = (meant && composite[headerOf(meant.algorithm)]) ?? "not known";
  if (!meant || known.startsWith(`${meant.sum}-`))
    return upload.isWhole ? { algorithm: upload.sums as Algorithm } : undefined;
  if (meant.sum.includes("-")) {
    requireSame(known, meant);
    return undefined;
  }
  requireSum(meant.algorithm, meant.sum);
  return { algorithm: meant.algorithm, approve: ({ sum }) => requireSame(sum, meant) };
}

/** The sum of the sums of the parts, as S3 has it; none if it is not that which is to be had. */
export async function compositeOf({ sums, isWhole }: Sums, parts: readonly Part[]): Promise<Record<string, string>> {
  if (!sums || isWhole) return {};
  const algorithm = sums as Algorithm;
  const checksum = await newChecksum(algorithm);
  for (const { attributes } of parts) checksum.update(Buffer.from(attributes[headerOf(algorithm)] ?? "", "base64"));
  return { [headerOf(algorithm)]: `${checksum.digest().toBase64()}-${parts.length}` };
}
