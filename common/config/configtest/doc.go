// Package configtest spoils configuration files, for tests of what is said of a
// faulty one: a fault may show its place and its key, but no secret.
//
//	configtest.ShowsNothingSpoilt(t, file, 300, func(text string) error {
//		return config.Decode("f.yaml", []byte(text), &v)
//	})
package configtest
