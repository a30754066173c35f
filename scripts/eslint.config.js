import { dirname } from 'node:path'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['node_modules/**', '**/*.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: dirname(import.meta.dirname) } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'no-console': 'error',
      // Numbers in a message are plain and common; the rule guards against objects, which it still does.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Engine methods answer `{}`; a named empty type says no more than this one.
      '@typescript-eslint/no-empty-object-type': 'off',
      // Interfaces are async because one implementation waits; the others need not pretend to.
      '@typescript-eslint/require-await': 'off',
    },
  },
  { files: ['scripts/**', 'test/**', 'daemon/cli.ts'], rules: { 'no-console': 'off' } },
)
