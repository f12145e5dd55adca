package cib

import "strings"

// maxName is the longest name of a node: what fits into file names and certificates with room for suffixes.
const maxName = 128

// ValidName reports whether name can be the name of a node or an object of our own making: 1 to 128 letters
// (A-Z, a-z), digits, dots, dashes and underscores, without a dash or dot in front. Such a name is safe in
// file names, command lines, certificates and every form of the document.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName || name[0] == '-' || name[0] == '.' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0) {
			return false
		}
	}
	return true
}

// ObjectKey names an object of the configuration by kind and id, such as "node alpha". It is the key of the
// object's revision. See Change for the kinds.
func ObjectKey(kind, id string) string { return kind + " " + id }
