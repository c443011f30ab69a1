// Package config reads configuration files strictly. A fault names file, line
// and column, shows the line, and suggests the nearest key; all of a file's
// faults are reported together (see Errors).
//
// A configuration is a plain struct. Its tags say everything, once: the
// decoder, the JSON Schema and the tables in the READMEs are made from them.
//
//	type Config struct {
//		Brokers Strings       `yaml:"brokers" required:"true" doc:"Brokers to ask first, as host:port."`
//		Start   string        `yaml:"startOffset" default:"latest" enum:"earliest|latest" doc:"Where to begin."`
//		Linger  time.Duration `yaml:"linger" default:"5ms" doc:"How long to wait for company."`
//		TLS     TLS           `yaml:"tls" doc:"TLS to the brokers."`
//	}
//
//	func (c *Config) Validate() error // joins all faults; see Fault
//
// Decode fills in defaults, refuses unknown keys, wrong types and values
// outside enum, checks required, and calls Validate on every struct that has
// it. A Go program that builds the struct itself calls Defaults and Validate.
package config
