// Bundles the package for the chat page of the service, so that the page needs no build step and runs this very code.
//
//   node scripts/page.mjs                writes src/gateway/page/quintet.js of this repository, from dist
//   import { bundle } from '…'           the same as a function; the drift test compares its result

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TARGET = new URL('../../../src/gateway/page/quintet.js', import.meta.url);
const ENTRY = `export * from 'quintet';\nexport * from 'quintet/history';\nexport * from 'quintet/http';\n`;

/** Returns the bundle as the text of an ES module. */
export async function bundle() {
  const { outputFiles } = await build({
    stdin: { contents: ENTRY, resolveDir: ROOT },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    logLevel: 'silent',
  });
  const text = outputFiles[0].text.replaceAll(/^\/\/ dist\//gm, '// clients/typescript/src/').replaceAll(/^(\/\/ clients.*)\.js$/gm, '$1.ts');
  return `// Generated from clients/typescript by its scripts/page.mjs. Do not edit.\n\n${text}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(TARGET, await bundle());
