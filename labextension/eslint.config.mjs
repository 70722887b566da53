import js from '@eslint/js';
import jupyter from '@jupyter/eslint-plugin';
import { defineConfig } from 'eslint/config';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default defineConfig([
  { ignores: ['node_modules', 'lib', '**/*.js', '**/*.mjs', '**/*.d.ts', 'src/generated.ts'] },
  js.configs.recommended,
  tseslint.configs.recommended,
  { plugins: { jupyter } },
  jupyter.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    languageOptions: {
      globals: { ...globals.browser },
      parserOptions: { project: 'tsconfig.test.json', sourceType: 'module' }
    },
    rules: {
      // What index.ts loads is small and measured; what is large is loaded by the opener and the panel's place.
      'jupyter/prefer-lazy-imports': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'no-restricted-globals': [
        'error',
        { name: 'fetch', message: 'Only src/api.ts talks to the server.' },
        { name: 'EventSource', message: 'Only src/api.ts talks to the server.' },
        { name: 'localStorage', message: 'State belongs in settings or the state database.' }
      ]
    }
  },
  {
    files: ['**/__tests__/**'],
    rules: { 'jupyter/no-untranslated-string': 'off', '@typescript-eslint/no-explicit-any': 'off' }
  }
]);
