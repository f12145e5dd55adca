package cib

import "strings"

// SecretName reports whether the name of a parameter says that it holds a password or key, such as passwd,
// login_password, snmp_priv_passwd, api_token or private_key. Names of files and scripts that give one
// (passwd_script, identity_file, key_path) do not count. What an agent's metadata says of its parameters is
// a second source, which this package does not know.
func SecretName(name string) bool {
	n := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	for _, suffix := range []string{"_script", "script", "_file", "file", "_path", "path", "_dir", "_timeout", "_action", "_method", "_type", "_length", "_age"} {
		if strings.HasSuffix(n, suffix) {
			return false
		}
	}
	for _, part := range []string{"passw", "passphrase", "secret"} {
		if strings.Contains(n, part) {
			return true
		}
	}
	for _, word := range []string{"token", "apikey", "authkey", "access_key", "private_key", "api_key", "auth_key", "credential", "credentials"} {
		if n == word || strings.HasSuffix(n, "_"+word) {
			return true
		}
	}
	return false
}
