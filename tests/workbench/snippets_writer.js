// Of the sources of the panel, without their types: forms come in, requests with their snippets go out; null: refused.
const fs = require('fs');
const path = require('path');
const panel = process.argv[2];
const ts = require(path.join(panel, 'node_modules/typescript'));

function load(name) {
  const text = fs.readFileSync(path.join(panel, 'src/console', name), 'utf8');
  const compilerOptions = { module: 'commonjs', target: 'es2020' };
  const module = { exports: {} };
  const code = ts.transpileModule(text, { compilerOptions }).outputText;
  new Function('exports', 'module', 'require', code)(module.exports, module, require);
  return module.exports;
}

const { checked } = load('request.ts');
const { cellOf } = load('snippets.ts');
const { endpoint, forms } = JSON.parse(fs.readFileSync(0, 'utf8'));
const told = forms.map(form => {
  const { request, wrong } = checked(form, { __: text => text });
  if (Object.keys(wrong).length > 0) {
    return null;
  }
  const call = { service: { endpoint, public: form.public }, name: 'words', request };
  const cells = ['curl', 'python', 'openai', 'magic'].map(each => [each, cellOf(each, call)]);
  return { request, cells: Object.fromEntries(cells) };
});
process.stdout.write(JSON.stringify(told));
