package compat

import (
	"fmt"
	"strings"
)

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// htmlStyle gives the classes that htmlBody uses their colours.
const htmlStyle = `.online { color: green }
.offline { color: red }
.standby { color: blue }
.failed { color: red }
.warning { color: red; font-weight: bold }`

// html makes a page of a body. It reloads itself as often as crm_mon renews it.
func (m *mon) html(body string) string {
	var b strings.Builder
	if m.o.cgi {
		b.WriteString("Content-Type: text/html\n\n")
	}
	title := m.o.title
	if title == "" {
		title = "Cluster Status"
	}
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>%s</title>\n<meta charset=\"utf-8\">\n", htmlEscaper.Replace(title))
	if !m.o.once {
		fmt.Fprintf(&b, "<meta http-equiv=\"refresh\" content=\"%d\">\n", int(m.o.interval.Seconds()))
	}
	fmt.Fprintf(&b, "<style>%s</style>\n", htmlStyle)
	if m.o.stylesheet != "" {
		fmt.Fprintf(&b, "<link rel=\"stylesheet\" href=\"%s\">\n", htmlEscaper.Replace(m.o.stylesheet))
	}
	b.WriteString("</head>\n<body>\n" + body + "</body>\n</html>\n")
	return b.String()
}

// htmlBody makes the text display into headings and nested lists: a line without indentation is a heading, "* " below it
// an item, two blanks deeper for each level.
func htmlBody(text string) string {
	var b strings.Builder
	depth := 0
	to := func(level int) {
		for ; depth > level; depth-- {
			b.WriteString("</ul>\n")
		}
		for ; depth < level; depth++ {
			b.WriteString("<ul>\n")
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		item := strings.TrimLeft(line, " ")
		switch {
		case item == "":
			to(0)
		case strings.HasPrefix(item, "* ") && len(item) < len(line):
			to((len(line) - len(item)) / 2)
			fmt.Fprintf(&b, "<li%s>%s</li>\n", htmlClass(item), htmlEscaper.Replace(item[2:]))
		case len(item) < len(line):
			to(0)
			fmt.Fprintf(&b, "<p class=\"warning\">%s</p>\n", htmlEscaper.Replace(item))
		default:
			to(0)
			fmt.Fprintf(&b, "<h2>%s</h2>\n", htmlEscaper.Replace(strings.TrimSuffix(line, ":")))
		}
	}
	to(0)
	return b.String()
}

// htmlClass is the class of an item by what it says.
func htmlClass(item string) string {
	for _, c := range []struct{ word, class string }{
		{"FAILED", "failed"}, {"UNCLEAN", "failed"}, {"OFFLINE", "offline"}, {"standby", "standby"}, {"maintenance", "standby"}, {"nline: ", "online"}, {": online", "online"},
	} {
		if strings.Contains(item, c.word) {
			return " class=\"" + c.class + "\""
		}
	}
	return ""
}
