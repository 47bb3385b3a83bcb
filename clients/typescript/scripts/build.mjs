// Compiles src to dist: ES modules with declarations, one file per source file, no bundler. Copies the license, since
// npm packs no links.

import { execFileSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(`${root}/dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}/node_modules/typescript/bin/tsc`, '-p', root], { stdio: 'inherit' });
copyFileSync(`${root}/../../LICENSE`, `${root}/LICENSE`);
