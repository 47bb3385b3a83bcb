// The package as its users get it: packed, and unpacked into a `node_modules`; and the examples, built with it by Vite.

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'vite';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MEDIA: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css' };

/** Installs the packed package in a folder, below the `node_modules` that has React and the other packages. Remove it at the end. */
export async function install(): Promise<string> {
  mkdirSync(`${ROOT}/node_modules/.users`, { recursive: true });
  const folder = mkdtempSync(`${ROOT}/node_modules/.users/`);
  const run = promisify(execFile);
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--offline', '--pack-destination', folder], { cwd: ROOT });
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>);
  mkdirSync(`${folder}/node_modules/quintet`, { recursive: true });
  await run('tar', ['-xzf', `${folder}/${packed!.filename}`, '-C', `${folder}/node_modules/quintet`, '--strip-components', '1']);
  writeFileSync(`${folder}/package.json`, '{ "type": "module", "dependencies": { "quintet": "*" } }');
  return folder;
}

/** Builds the pages and serves them: `/react/`, `/use-chat/`, `/assistant-ui/`, `/plain.html`. */
export async function serve(): Promise<Server> {
  const folder = await install();
  for (const name of ['react', 'use-chat', 'assistant-ui']) {
    cpSync(`${ROOT}/examples/${name}`, `${folder}/${name}`, { recursive: true });
    await build({ root: `${folder}/${name}`, base: `/${name}/`, configFile: false, logLevel: 'error', build: { reportCompressedSize: false, chunkSizeWarningLimit: 1e6 } });
  }
  const find = (pathname: string): string | undefined => {
    if (pathname === '/plain.html') return readFileSync(`${ROOT}/examples/plain.html`, 'utf8').replaceAll(/https:\/\/unpkg\.com\/quintet@[\d.]+/g, '');
    if (/^\/dist\/[\w/-]+\.js$/.test(pathname)) return readFileSync(`${folder}/node_modules/quintet${pathname}`, 'utf8');
    const [, name, file] = /^\/(react|use-chat|assistant-ui)\/((?:assets\/)?[\w.-]*)$/.exec(pathname) ?? [];
    return name && readFileSync(`${folder}/${name}/dist/${file || 'index.html'}`, 'utf8');
  };
  const server = createServer(({ url }, response) => {
    const { pathname } = new URL(url!, 'http://x');
    const text = find(pathname);
    if (text === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': MEDIA[/\.(\w+)$/.exec(pathname)?.[1] ?? 'html'] ?? 'text/plain' }).end(text);
  });
  server.on('close', () => rmSync(folder, { recursive: true, force: true }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
