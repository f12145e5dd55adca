package shell

import (
	"regexp"
	"strings"
	"sync"
)

// colours reports whether the configuration is shown in colours: on terminals, unless NO_COLOR or TERM=dumb is set.
func (s *Shell) colours() bool {
	switch s.opts.display {
	case "plain":
		return false
	case "color-always":
		return true
	}
	return s.cfg.Terminal && s.cfg.Getenv("NO_COLOR") == "" && s.cfg.Getenv("TERM") != "dumb"
}

const (
	colourEnd     = "\x1b[0m"
	colourKeyword = "\x1b[32m"
	colourID      = "\x1b[1m"
	colourName    = "\x1b[36m"
)

// patterns of what is coloured. They are compiled when they are needed: most commands colour nothing.
var patterns = sync.OnceValue(func() (p struct{ statementStart, blockStart, pairName *regexp.Regexp }) {
	p.statementStart = regexp.MustCompile(`^([a-z_]+) (\S+)`)
	p.blockStart = regexp.MustCompile(`^(\t| )(params|meta|utilization|operations|attributes|op \S+|rule)\b`)
	p.pairName = regexp.MustCompile(`( |\t)([A-Za-z0-9_$.-]+)=`)
	return p
})

// coloured marks keywords, ids and names of a statement.
func coloured(text string) string {
	p := patterns()
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(strings.TrimSpace(l), "#") {
			continue
		}
		l = p.pairName.ReplaceAllString(l, "${1}"+colourName+"${2}"+colourEnd+"=")
		if i == 0 || !strings.HasPrefix(l, "\t") {
			l = p.statementStart.ReplaceAllString(l, colourKeyword+"${1}"+colourEnd+" "+colourID+"${2}"+colourEnd)
		} else {
			l = p.blockStart.ReplaceAllString(l, "${1}"+colourKeyword+"${2}"+colourEnd)
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n")
}
