package cib

import (
	"slices"
	"strings"
)

// ReferencePrefix begins a parameter value that names where a secret is kept: ref:KIND:NAME.
const ReferencePrefix = "ref:"

// ReferenceKinds are the kinds of references to secrets.
var ReferenceKinds = []string{"file", "env", "exec", "credential", "store", "vault", "dns"}

// IsReference reports whether a value begins as a reference to a secret does.
func IsReference(value string) bool { return strings.HasPrefix(value, ReferencePrefix) }

// ParseReference splits a reference to a secret; ok is false for what is none of a known kind.
func ParseReference(value string) (kind, name string, ok bool) {
	rest, ok := strings.CutPrefix(value, ReferencePrefix)
	if !ok {
		return "", "", false
	}
	kind, name, ok = strings.Cut(rest, ":")
	return kind, name, ok && name != "" && slices.Contains(ReferenceKinds, kind)
}

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
