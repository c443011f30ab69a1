// Package cli is the command line of fiso-link.
package cli
