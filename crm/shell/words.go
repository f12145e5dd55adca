package shell

import (
	"strings"

	"github.com/quorate/quorate/crm/cib/cibcrm"
)

// splitWords splits a line as the configure language does. The xml statement is split roughly: its command
// takes the line as it is.
func splitWords(text string) ([]string, error) {
	if first, rest, _ := strings.Cut(text, " "); strings.EqualFold(first, "xml") && strings.HasPrefix(strings.TrimSpace(rest), "<") {
		return []string{first, strings.TrimSpace(rest)}, nil
	}
	return cibcrm.Words(text)
}
