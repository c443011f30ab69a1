// Package configtest makes faulty configuration files, for tests of errors: an error may show its position
// and its key, but no secret.
//
//	configtest.ShowsNothingSpoilt(t, file, 300, func(text string) error {
//		return config.Decode("f.yaml", []byte(text), &v)
//	})
package configtest
