/** Server-sent events, read from a body (HTML Living Standard §9.2.6, as far as our servers use it). */

export interface ServerSentEvent {
  /** Empty for a comment. */
  event: string;
  data: string;
}

/** The pieces of a body as text; a character that is cut between two pieces comes whole. */
export async function* texts(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const text = decoder.decode(value, { stream: !done });
      if (text !== '') {
        yield text;
      }
      if (done) {
        return;
      }
    }
  } finally {
    // Whoever stops reading early wants no more of it; a body that has failed has nothing to cancel.
    await reader.cancel().catch(() => undefined);
  }
}

/** How large the pieces of a body are: of what is not for reading nothing is decoded or kept. */
export async function* sizes(body: ReadableStream<Uint8Array>): AsyncGenerator<number> {
  const reader = body.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      yield next.value.length;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

export async function* serverSentEvents(pieces: AsyncIterable<string>): AsyncGenerator<ServerSentEvent> {
  let rest = '';
  let event = '';
  let data: string[] = [];
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const ended of lines) {
      const line = ended.endsWith('\r') ? ended.slice(0, -1) : ended;
      if (line === '') {
        if (data.length > 0) {
          yield { event: event || 'message', data: data.join('\n') };
        }
        event = '';
        data = [];
      } else if (line.startsWith(':')) {
        yield { event: '', data: line.slice(1).trim() };
      } else if (line.startsWith('event:')) {
        event = line.slice('event:'.length).trim();
      } else if (line.startsWith('data:')) {
        data.push(line.slice('data:'.length).replace(/^ /, ''));
      }
    }
  }
}
