// Fetch a URL with one of Node's clients: client.mjs LIBRARY URL. What goes wrong is one line.
const libraries = {
  fetch: async (url) => (await fetch(url)).text(),
  http: async (url) => {
    const { get } = await import(url.startsWith('https:') ? 'node:https' : 'node:http');
    return new Promise((resolve, reject) => {
      get(url, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => resolve(text));
      }).on('error', reject);
    });
  },
  undici: async (url) => (await (await import('undici')).request(url)).body.text(),
  // Without the C library: its own name service client (c-ares).
  resolve: async (url) => (await (await import('node:dns/promises')).resolve4(new URL(url).hostname)).join(),
};
const [library, url] = process.argv.slice(2);
try {
  console.log(await libraries[library](url));
} catch (error) {
  console.error(`failed: ${error.cause?.code ?? error.code ?? error}`);
  process.exitCode = 1;
}
