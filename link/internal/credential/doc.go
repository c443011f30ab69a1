// Package credential authenticates calls with bearer tokens, API keys, basic, OAuth2
// client credentials, AWS SigV4 and client certificates. It reads the secrets behind
// them from files, the environment and Vault.
//
// Secrets are checked at most once a second, by one of the calls that need them, while
// other calls use what was read before. So a call costs a comparison of times and an
// append. What was built for the wire is reused until the secret changes. A secret that
// can no longer be read is used for another minute, because files are replaced in
// steps, and then no longer, because it may have been revoked. If Vault is down, its
// secrets are used until their lease ends. An expired credential is never sent.
//
// No error, log line or text of this package holds a secret, or anything that a token
// server or Vault answered: both are known to repeat what they were sent.
package credential
