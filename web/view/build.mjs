// Builds the page of `agcarbon view` into pipeline/view/page/: one script, one style sheet, and the licences of all
// packages in them. The banner has the digest of the sources, which a test compares.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "../../pipeline/view/page");
const sources = ["build.mjs", "package-lock.json", "package.json", ...readdirSync(join(here, "src")).map((name) => `src/${name}`)];

function digest() {
  const hash = createHash("sha256");
  for (const name of sources.sort()) hash.update(`${name}\0`).update(readFileSync(join(here, name)));
  return hash.digest("hex");
}

// Arrays of an exported cube are compressed by Blosc; codecs that only coordinates have are left out, 0.8 MB in all.
const withoutUnusedCodecs = {
  name: "without-unused-codecs",
  setup(builder) {
    builder.onResolve({ filter: /^numcodecs\/(zstd|lz4)$/ }, ({ path }) => ({ path, namespace: "unused" }));
    builder.onLoad({ filter: /.*/, namespace: "unused" }, ({ path }) => ({
      contents: `export default { fromConfig() { throw new Error("${path}: not part of this page") } };`,
    }));
  },
};

const result = await build({
  absWorkingDir: here,
  entryPoints: { view: "src/main.js" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  outdir: target,
  legalComments: "none",
  metafile: true,
  plugins: [withoutUnusedCodecs],
  banner: { js: `/* agcarbon view; sources ${digest()}; licences in THIRD_PARTY.txt */` },
});
copyFileSync(join(here, "src/index.html"), join(target, "index.html"));

const packages = new Set();
for (const output of Object.values(result.metafile.outputs)) {
  for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
    const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/);
    if (found && bytesInOutput) packages.add(found[1]);
  }
}
// MapLibre's script comes bundled with its own dependencies, which its package names.
const { dependencies } = JSON.parse(readFileSync(join(here, "node_modules/maplibre-gl/package.json")));
// jsonlint validates styles on the command line of maplibre-gl-style-spec: it is not part of the script.
const absent = ["@mapbox/jsonlint-lines-primitives"];
for (const name of Object.keys(dependencies)) if (!name.startsWith("@types/") && !absent.includes(name)) packages.add(name);

const parts = [...packages].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const [, ofReadme] = readFileSync(join(folder, "README.md"), "utf8").split(/^## Licen[cs]e/m);
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : ofReadme?.trim();
  if (!license || !text) throw new Error(`${name}: no licence found`);
  return `${name} ${version} (${license})\n\n${text}`;
});
const rule = `\n\n${"-".repeat(80)}\n\n`;
writeFileSync(join(target, "THIRD_PARTY.txt"), `Packages in view.js and view.css, with their licences.${rule}${parts.join(rule)}\n`);
