const ours = new Set<string>();
let policy: { createScriptURL(url: string): TrustedScriptURL } | null = null;

/**
 * Makes the address of one of this build's own workers acceptable to Trusted
 * Types. It is called with what the build put in, so nothing else in the app can
 * name a script to run.
 */
export function trustedWorker(url: string): string {
  ours.add(url);
  const scope: { readonly trustedTypes?: TrustedTypePolicyFactory } = globalThis as never;
  if (!scope.trustedTypes) return url;
  policy ??= scope.trustedTypes.createPolicy('securelink', {
    createScriptURL: (asked) => {
      if (!ours.has(asked)) throw new TypeError('not a script of this app');
      return asked;
    },
  });
  return policy.createScriptURL(url) as unknown as string;
}
