/** Identifiers as the engine gives them: only stored, compared and hashed, never parsed. */
declare const brand: unique symbol

/** 64 hex digits for local networks, 25 base-36 characters for swarm ones. */
export type NetworkId = string & { readonly [brand]: 'NetworkId' }
/** 64 hex digits. */
export type EndpointId = string & { readonly [brand]: 'EndpointId' }
/** Made by weft, kept by the engine for years and returned verbatim. */
export type PoolId = string & { readonly [brand]: 'PoolId' }
