package transition

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// Digest returns the digest by which the history remembers the parameters of an operation: the MD5, in
// lower-case hexadecimal, of a parameters element with the given attributes in their order
// (spec/04-actions.md 3.5). The caller has sorted them by name and left out what does not count. MD5
// tells equal from changed here; it protects nothing.
func Digest(attrs []Attr) string {
	var b strings.Builder
	b.WriteString(" <parameters")
	for _, a := range attrs {
		b.WriteByte(' ')
		b.WriteString(a.Name)
		b.WriteString(`="`)
		EscapeAttr(&b, a.Value)
		b.WriteByte('"')
	}
	b.WriteString("/>\n")
	sum := md5.Sum([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
