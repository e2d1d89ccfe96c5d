// SPDX-License-Identifier: Apache-2.0

package light

// modifiers reads what stands behind a string and checks that it fits.
func (p *parser) modifiers(d *stringDecl) error {
	m := &d.mods
	for p.peek().kind == tokIdent {
		t := p.peek()
		var err error
		switch t.text {
		case "nocase":
			m.nocase = true
		case "wide":
			m.wide = true
		case "ascii":
			m.ascii = true
		case "fullword":
			m.fullword = true
		case "private":
			m.private = true
		case "xor":
			m.xor, m.xorMin, m.xorMax = true, 0, 255
			err = p.xorRange(m)
		case "base64":
			m.base64, err = p.alphabet()
		case "base64wide":
			m.base64wide, err = p.alphabet()
		default:
			return p.checkModifiers(d)
		}
		if err != nil {
			return err
		}
		if t.text != "xor" && t.text != "base64" && t.text != "base64wide" {
			p.next()
		}
	}
	return p.checkModifiers(d)
}

func (p *parser) checkModifiers(d *stringDecl) error {
	m := d.mods
	b64 := m.base64 != "" || m.base64wide != ""
	switch {
	case d.kind == tokHex && (m.nocase || m.wide || m.ascii || m.fullword || m.xor || b64):
		return p.fail(d.at, "hex string $%s takes no modifier but private", d.id)
	case d.kind == tokRegex && (m.xor || b64):
		return p.fail(d.at, "xor and base64 are for text strings only")
	case m.xor && (m.nocase || b64):
		return p.fail(d.at, "xor goes with neither nocase nor base64")
	case m.xor && m.fullword:
		return p.fail(d.at, "xor with fullword is not supported")
	case b64 && (m.nocase || m.fullword):
		return p.fail(d.at, "base64 goes with neither nocase nor fullword")
	}
	return nil
}

func (p *parser) xorRange(m *stringMods) error {
	p.next()
	if !p.accept("(") {
		return nil
	}
	lo := p.next()
	hi := lo
	if p.accept("-") {
		hi = p.next()
	}
	if lo.kind != tokInt || hi.kind != tokInt || lo.num > hi.num || hi.num > 255 {
		return p.fail(lo, "xor wants (key) or (low-high), each 0 to 255")
	}
	m.xorMin, m.xorMax = byte(lo.num), byte(hi.num)
	return p.expect(")")
}

func (p *parser) alphabet() (string, error) {
	p.next()
	if !p.accept("(") {
		return stdAlphabet, nil
	}
	t := p.next()
	if t.kind != tokText || len(t.text) != 64 {
		return "", p.fail(t, "base64 wants an alphabet of 64 characters")
	}
	var seen byteSet
	for i := 0; i < 64; i++ {
		if c := t.text[i]; seen.has(c) || c == '\n' || c == '\r' || c == '=' {
			return "", p.fail(t, "the base64 alphabet holds %q twice or at all", c)
		}
		seen.add(t.text[i])
	}
	return t.text, p.expect(")")
}
