// Package credential is what proves a call: bearer tokens, API keys, basic,
// OAuth2 client credentials, AWS SigV4 and client certificates, and the secrets
// behind them, from files, the environment and Vault.
//
// Secrets are looked at once a second at most, by one of the calls that need
// them, while the others go on with what there is; a call pays for a comparison
// of times and an append. What was prepared for the wire stays prepared until
// the secret changes. A secret that cannot be read is served for another minute,
// because files are replaced in steps, and after that no longer: a secret that
// was taken away is not to be used for ever. A Vault that is down changes
// nothing until the lease ends. What has expired is never sent.
//
// No error, log or text of this package holds a secret, nor anything that a
// token server or Vault answered: both are known to repeat what they were sent.
package credential
