// `sharp.mjs jpg|png OUTPUT_FOLDER PHOTO...` makes an output a photo, prints versions. Run in the folder with sharp.
import { createRequire } from "node:module";
import { join, parse } from "node:path";

const sharp = createRequire(join(process.cwd(), "package.json"))("sharp");
sharp.concurrency(1);
sharp.cache(false);

const [extension, folder, ...photos] = process.argv.slice(2);
for (const photo of photos) {
  const small = sharp(photo).autoOrient().resize(224, 224, { fit: "cover", kernel: "lanczos3" });
  const encoded = extension === "jpg" ? small.jpeg({ quality: 90 }) : small.png();
  await encoded.toFile(join(folder, `${parse(photo).name}.${extension}`));
}
console.log(`sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}, node ${process.versions.node}`);
