// Markdown as it streams in. Only the last block changes with a token, so the others are kept; all HTML is sanitised, and
// nothing in it may fetch from elsewhere: a remote image would tell its server that somebody reads this.
import DOMPurify from 'dompurify'
import { Marked, type Token } from 'marked'
import { memo, useMemo } from 'react'

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    image({ href, text }) {
      if (href.startsWith('data:image/')) return `<img src="${escaped(href)}" alt="${escaped(text)}">`
      return `<a href="${escaped(href)}">${escaped(text || href)}</a>`
    },
  },
})

const purifier = DOMPurify(window)
purifier.addHook('afterSanitizeAttributes', node => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank')
    node.setAttribute('rel', 'noopener noreferrer nofollow')
  }
  // A table or code that is wider than the page scrolls, which a keyboard must be able to do too.
  if (node.tagName === 'PRE') {
    node.setAttribute('tabindex', '0')
    node.setAttribute('role', 'group')
    node.setAttribute('aria-label', 'Code')
  }
  if (node.tagName === 'INPUT') node.setAttribute('aria-label', 'Task')
})

export function Markdown({ text, lang }: { text: string; lang?: string | undefined }) {
  const blocks = useMemo(() => marked.lexer(text).filter(block => block.type !== 'space'), [text])
  return (
    <div className="markdown" lang={lang} dir="auto">
      {blocks.map((block, index) => (
        // Blocks are only ever added behind: the position is the identity.
        <Block key={index} raw={block.raw} block={block} />
      ))}
    </div>
  )
}

const Block = memo(
  ({ block }: { block: Token; raw: string }) => {
    const html = purifier.sanitize(marked.parser([block]), {
      USE_PROFILES: { html: true },
      FORBID_TAGS: ['style', 'form', 'button', 'textarea', 'select', 'video', 'audio', 'source', 'picture', 'iframe'],
      FORBID_ATTR: ['style', 'class', 'id', 'name', 'srcset', 'background'],
      // Without that, the next line is asked of every attribute.
      ADD_URI_SAFE_ATTR: ['align', 'start', 'type', 'checked', 'disabled'],
      ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|tel:|#|data:image\/(?:png|jpeg|gif|webp);)/i,
    })
    return (
      <div className={`block ${block.type === 'table' ? 'wide' : ''}`} dangerouslySetInnerHTML={{ __html: html }} />
    )
  },
  (before, after) => before.raw === after.raw,
)

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, char => `&#${char.charCodeAt(0)};`)
}
