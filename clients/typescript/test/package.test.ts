// The package as it would be published.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { exports: Record<string, unknown>; dependencies?: object; sideEffects: boolean };
const bin = (path: string, ...args: string[]) => execFileSync(process.execPath, [`${ROOT}/node_modules/${path}`, ...args], { cwd: ROOT, encoding: 'utf8' });

let folder: string;
let tarball: string;
let files: string[];
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'quintet-pack-'));
  const output = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--offline', '--pack-destination', folder], { cwd: ROOT, encoding: 'utf8' });
  const parsed = JSON.parse(output) as unknown;
  const [packed] = Object.values(parsed as Record<string, { filename: string; files: { path: string }[] }>);
  tarball = join(folder, packed!.filename);
  files = packed!.files.map(({ path }) => path);
});
after(() => rmSync(folder, { recursive: true, force: true }));

async function bundle(contents: string, external: string[] = []) {
  const result = await build({
    stdin: { contents, resolveDir: ROOT },
    bundle: true, minify: true, write: false, metafile: true, format: 'esm', target: 'es2022', external, logLevel: 'silent',
  });
  return { gzip: gzipSync(result.outputFiles[0]!.contents, { level: 9 }).length, inputs: Object.keys(result.metafile.inputs), text: result.outputFiles[0]!.text };
}

/** The bound of the README: all that `.` exports, minified and compressed. */
const CORE_BYTES_MAX = 8_192;

test('the core is at most 8 KiB, minified and compressed', async (t) => {
  const { gzip, inputs } = await bundle(`export * from 'quintet'`);
  t.diagnostic(`core: ${gzip} bytes`);
  for (const [name, external] of [['react', ['react']], ['ai-sdk', ['ai']], ['http', []], ['history', []], ['testing', []]] as const) {
    t.diagnostic(`${name}: ${(await bundle(`export * from 'quintet/${name}'`, [...external])).gzip} bytes, with what it uses of the core`);
  }
  assert.ok(gzip <= CORE_BYTES_MAX, `${gzip} bytes`);
  assert.ok(inputs.every((path) => path.startsWith('dist/') || path === '<stdin>'), inputs.join());
});

test('unused exports are removed by a bundler', async () => {
  const { text } = await bundle(`export { reactionTo } from 'quintet'`);
  assert.ok(text.length < 400, text);
  assert.equal(manifest.sideEffects, false);
});

test('no runtime dependency, and nothing of Node.js', async () => {
  assert.equal(manifest.dependencies, undefined);
  for (const name of Object.keys(manifest.exports).filter((path) => path !== './package.json')) {
    const external = [...builtinModules, ...builtinModules.map((module) => `node:${module}`), 'react', 'ai'];
    const { text } = await bundle(`export * from '${name.replace('.', 'quintet')}'`, external);
    const imports = [...text.matchAll(/(?:from|import)\s*"([^"]+)"/g)].map(([, module]) => module as string);
    assert.deepEqual(imports.filter((module) => !['react', 'ai'].includes(module)), [], name);
    assert.doesNotMatch(text, /\bprocess\.|\bBuffer\b/, name);
  }
});

test('the tarball holds what is exported, the examples, the readme and the license, and no test', () => {
  for (const target of JSON.stringify(manifest.exports).matchAll(/"\.\/(dist\/[^"]+)"/g)) assert.ok(files.includes(target[1] as string), target[1]);
  for (const file of ['README.md', 'LICENSE', 'package.json', 'examples/react/main.tsx']) assert.ok(files.includes(file), file);
  assert.deepEqual(files.filter((file) => !/^(dist\/.*\.(js|d\.ts)|examples\/.*\.(html|mjs|tsx|json)|README\.md|LICENSE|package\.json)$/.test(file)), []);
});

test('publint finds nothing', () => {
  bin('publint/src/cli.js', '--strict', tarball);
});

test('attw finds the types of every entry point', () => {
  bin('@arethetypeswrong/cli/dist/index.js', tarball, '--profile', 'esm-only', '--no-emoji');
});

test('drift: the types are those of the schemas in this repository', async () => {
  const { generate, repositorySchema } = (await import(new URL('../scripts/generate.mjs', import.meta.url).href)) as {
    generate(client: unknown, server: unknown): string;
    repositorySchema(name: string): { $defs: Record<string, { properties: Record<string, object> }> };
  };
  const committed = readFileSync(`${ROOT}/src/protocol.ts`, 'utf8');
  assert.equal(committed, generate(repositorySchema('client'), repositorySchema('server')), 'run: node scripts/generate.mjs');
  const changed = repositorySchema('client');
  changed.$defs['ping']!.properties['added'] = { type: 'string' };
  assert.notEqual(committed, generate(changed, repositorySchema('server')));
});

test('drift: the chat page runs this very package', async () => {
  const { bundle } = (await import(new URL('../scripts/page.mjs', import.meta.url).href)) as { bundle(): Promise<string> };
  const committed = readFileSync(`${ROOT}/../../src/gateway/page/quintet.js`, 'utf8');
  assert.equal(committed, await bundle(), 'run: node scripts/build.mjs && node scripts/page.mjs');
});

test('every exported name has a comment', () => {
  const missing: string[] = [];
  for (const file of readdirSync(`${ROOT}/src`, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts') && path !== 'protocol.ts')) {
    const lines = readFileSync(`${ROOT}/src/${file}`, 'utf8').split('\n');
    for (const [i, line] of lines.entries()) {
      if (/^export (abstract )?(class|function|interface|type|const|async function) [^{]/.test(line) && !lines.slice(0, i).findLast((above) => !above.startsWith('//'))?.trim().endsWith('*/')) missing.push(`${file}: ${line}`);
    }
  }
  // A comment may follow the documentation.
  const internal = /^(connection|socket|entry-queue|outbox)\.ts: export (type (Timer|Input|Effect)|const IDLE|interface Socket|class Socket)/;
  assert.deepEqual(missing.filter((line) => !internal.test(line)), []);
});
