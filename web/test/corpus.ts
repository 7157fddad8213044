/**
 * Names and texts that somebody could choose to hurt a reader: markup, scripts,
 * styles, addresses, text directions, odd encodings. All are shown as typed.
 */
const tags = [
  '<script>window.pwned=1</script>', '<img src=x onerror="window.pwned=1">', '<svg onload=window.pwned=1>', '<svg><script>window.pwned=1</script></svg>',
  '<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>', '<iframe src="javascript:parent.pwned=1"></iframe>', '<a href="javascript:window.pwned=1">x</a>',
  '<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>', '<details open ontoggle=window.pwned=1>', '<video><source onerror="window.pwned=1">',
  '<body onload=window.pwned=1>', '<input autofocus onfocus=window.pwned=1>', '<style>*{display:none}</style>', '<link rel=stylesheet href=//evil.example/x.css>',
  '<meta http-equiv=refresh content="0;url=//evil.example">', '<base href=//evil.example/>', '<form action=//evil.example><button>x</button></form>', '<object data=x>', '<embed src=x>',
  '<template><script>window.pwned=1</script></template>', '<noscript><p title="</noscript><img src=x onerror=window.pwned=1>">', '<textarea></textarea><script>window.pwned=1</script>',
  '</title><script>window.pwned=1</script>', '</style><script>window.pwned=1</script>', '--><script>window.pwned=1</script>', ']]><script>window.pwned=1</script>', '<!--<img src="--><img src=x onerror=window.pwned=1>',
  '"><script>window.pwned=1</script>', '\'><script>window.pwned=1</script>', '" onmouseover="window.pwned=1', "' onfocus='window.pwned=1' autofocus='", '` onclick=window.pwned=1 `', '<ScRiPt>window.pwned=1</sCrIpT>',
  '<scr<script>ipt>window.pwned=1</scr</script>ipt>', '<img/src=x/onerror=window.pwned=1>', '<x onclick=window.pwned=1>click</x>', '<marquee onstart=window.pwned=1>', '<dialog open>gotcha</dialog>', '<audio src=x onerror=window.pwned=1>',
];

const code = [
  '{{constructor.constructor("window.pwned=1")()}}', '${window.pwned=1}', '#{window.pwned=1}', '{@html "<img src=x onerror=window.pwned=1>"}', '{#if true}x{/if}', '<%= 7*7 %>', '{{7*7}}', '[[${7*7}]]',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'undefined', 'null', 'NaN', 'true', '[object Object]', '0', '-0', '1e309', 'valueOf', '__defineGetter__', 'then',
  '\\u003cscript\\u003ewindow.pwned=1\\u003c/script\\u003e', '&lt;script&gt;window.pwned=1&lt;/script&gt;', '&#60;script&#62;', '&amp;&lt;&gt;&quot;', '%3Cscript%3E', '\\x3cscript\\x3e', 'javascript:window.pwned=1', 'data:text/html,<script>window.pwned=1</script>',
  "'; DROP TABLE messages; --", '" OR 1=1 --', '$(touch /x)', '`id`', '| cat', '; ls', '../../etc/passwd', '%00', '%n%s%x', '\\', '\\\\', '/',
];

const marks = [
  '[click](javascript:window.pwned=1)', '[click](data:text/html,x)', '[click](//evil.example)', '[a](https://evil.example "title")', '![x](https://evil.example/x.png)', '[x]: https://evil.example', '<https://evil.example>',
  '[bank.example](https://evil.example)', '**', '****', '*****', '_ _', '~~~~', '``', '`', '> ', '>', '- ', '1. ', '# not a heading', '| a | b |', '***bold', '[', '](', '[]()', '[a](b', '![', '**a*b**c*', '_a__b_', '~~a~b~~', '\\*', '<b>**x**</b>',
  '*'.repeat(200), '['.repeat(200), '>'.repeat(200), '`'.repeat(201), '('.repeat(100) + ')'.repeat(100), '**_~~`x`~~_**'.repeat(20),
  'https://evil.example/<script>', 'https://user:pass@evil.example', 'http://[::1]/', 'https://ex\u0430mple.org', 'https://example.org\u202egpj.exe', 'http://localhost:1/', 'https://xn--e1afmkfd.example', 'mailto:x@example.org', 'ftp://evil.example',
];

const directions = [
  '\u202egnp.exe', 'abc\u202edef\u202cghi', '\u2066left\u2069', '\u2067right\u2069', '\u061cmark', 'مرحبا بالعالم', 'שלום עולם', 'abc שלום 123', '\u200fright mark', '\u200eleft mark', '\u202aa\u202bb\u202dc', '\u2068one\u2069two',
  '\u202e\u202e\u202e\u202edeep', 'Ana\u202enaB', '\u202dforced', 'مرحبا <b>x</b>', '١٢٣٤', '(עברית)', 'x\u2029y', 'x\u2028y',
];

const odd = [
  'Z\u0351\u036b\u0343\u036a\u0302\u036b\u033da\u034f\u0334\u0319l\u0322g\u032eo', 'a' + '\u0301'.repeat(150), '\ufeffmark', 'a\u200bb', 'a\u200db', 'a\u00adb', '\u3164', '\u2800', '\u00a0x\u00a0', '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u200d\u{1f466}', '\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
  '\u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7}', '\u{1f44d}\u{1f3fd}', '1\ufe0f\u20e3', 'ﷺ', '𝐁𝐨𝐥𝐝', 'Ａｎａ', 'Аnа', 'Ana', 'ana', 'ANA', 'Ana\u200b', 'Ann\u0430', 'ı', 'İ', 'ß', 'ﬁ', '㋿', '\u1d2c\u207f\u1d43', 'Ω', 'Ω',
  'x'.repeat(400), 'wide '.repeat(80), 'W'.repeat(120), '漢'.repeat(120), '\u{1f600}'.repeat(60), 'https://example.org/' + 'a'.repeat(300), 'line\nline\nline', 'tab\there', 'two  spaces', ' leading', 'trailing ',
  'You', 'Server', 'SecureLink', 'admin', 'Ana joined the chat', 'This message was deleted.', '· you', 'Verified', 'Owner', '✓ Verified', 'New messages', 'anonymous', '\u0007bell', 'esc\u001b[31mred', 'nul\u0001', 'del\u007f', '\ud83d half', '\udc4d half', '\ufffd',
  '🏴‍☠️', '😀 😀 😀', '(╯°□°)╯︵ ┻━┻', '¯\\_(ツ)_/¯', '<3', '->', '<-', '&', '&&', '"quoted"', "it's", '100%', '50 % off', 'C:\\path\\file', '\\\\server\\share', '@everyone', '@here', '/me waves', '/join #x', ':)', '#hash', '~', '^', '=1+1', '+cmd', '-1', '@SUM(1)',
];

export const corpus: readonly string[] = [...tags, ...code, ...marks, ...directions, ...odd];
