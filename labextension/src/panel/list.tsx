/** The list of services, and what is shown in its place while there is none. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useLayoutEffect, useRef, useState } from 'react';

import { Copy, Key, keyOf, Service, Shared } from '../api';
import type { Status } from '../model/services';
import { Row } from './row';
import { SharedRows } from './shared';

/** From so many services on there is a field to find one in. */
const MANY = 8;

export interface ListProps {
  status: Status;
  problem: string | null;
  connected: 'stream' | 'polling' | 'no';
  services: readonly Service[];
  /** What one may only call. */
  shared: readonly Shared[];
  /** Whose services need no owner before their name. */
  user: string | null;
  most: number;
  wanted: (key: Key) => number;
  pending: (key: Key) => string | null;
  copies: ReadonlyMap<Key, Copy>;
  calls: ((key: Key) => readonly number[]) | null;
  trans: TranslationBundle;
  onOpen: (key: Key) => void;
  onScale: (key: Key, by: number) => void;
  onDeploy: () => void;
  onRetry: () => void;
  onCopy: (text: string) => void;
  onTry: (key: Key) => void;
  onShown: (keys: readonly Key[]) => void;
  /** Each time that it has been drawn. */
  onDrawn: () => void;
}

export function List(props: ListProps): JSX.Element {
  const { status, problem, services, trans } = props;
  const [search, setSearch] = useState('');
  useLayoutEffect(props.onDrawn);
  if (status === 'missing' || status === 'too-old') {
    return <Notice text={problem ?? ''} alert />;
  }
  if (status === 'loading' || (status === 'error' && services.length === 0)) {
    return status === 'loading' && problem === null ? (
      <Notice text={trans.__('Looking for services …')} busy />
    ) : (
      <Notice text={problem ?? ''} alert action={trans.__('Try Again')} onAction={props.onRetry} />
    );
  }
  const words = search.toLowerCase();
  const named = (each: Service | Shared) => keyOf(each).toLowerCase().includes(words);
  const found = services.filter(named);
  const foundShared = props.shared.filter(named);
  return (
    <>
      {problem !== null && (
        <div className="jp-ModelService-banner" role="alert">
          {trans.__('What is shown may be old: %1', problem)}
        </div>
      )}
      {services.length + props.shared.length > MANY && (
        <input
          className="jp-ModelService-search jp-mod-styled"
          type="search"
          value={search}
          placeholder={trans.__('Find a service')}
          aria-label={trans.__('Find a service')}
          onChange={event => setSearch(event.target.value)}
        />
      )}
      {services.length === 0 && <Copies copies={props.copies} trans={trans} />}
      {services.length === 0 ? (
        <Notice
          text={trans.__(
            'There are no model services yet. Right-click a model folder in the file browser and choose “Deploy as Model Service…”.'
          )}
          action={trans.__('New Service')}
          onAction={props.onDeploy}
        />
      ) : found.length === 0 && foundShared.length > 0 ? null : found.length === 0 ? (
        <Notice text={trans.__('No service is named like “%1”.', search)} />
      ) : (
        <Rows {...props} services={found} />
      )}
      <SharedRows shared={foundShared} trans={trans} onCopy={props.onCopy} onTry={props.onTry} />
    </>
  );
}

function Rows(props: ListProps): JSX.Element {
  const { services, trans } = props;
  const list = useRef<HTMLUListElement>(null);
  const [reachable, setReachable] = useState<Key | null>(null);
  const keys = services.map(keyOf);
  const reached = reachable !== null && keys.includes(reachable) ? reachable : keys[0];
  const showOwner = services.some(each => each.owner !== services[0].owner);
  useShownKeys(list, keys.join(' '), props.onShown);
  return (
    <ul
      ref={list}
      className="jp-ModelService-list"
      aria-label={trans.__('Model services')}
      onKeyDown={event => moveFocus(event, list.current)}
      onFocus={event => setReachable((event.target as HTMLElement).closest('li')?.dataset.key ?? null)}
    >
      {services.map((service, i) => (
        <Row
          key={keys[i]}
          service={service}
          wanted={props.wanted(keys[i])}
          most={props.most}
          pending={props.pending(keys[i])}
          copy={props.copies.get(keys[i]) ?? null}
          calls={props.calls === null ? null : props.calls(keys[i])}
          showOwner={showOwner}
          reachable={keys[i] === reached}
          trans={trans}
          onOpen={props.onOpen}
          onScale={props.onScale}
        />
      ))}
    </ul>
  );
}

/** Copies of folders whose service is not made yet. */
function Copies({ copies, trans }: Pick<ListProps, 'copies' | 'trans'>): JSX.Element {
  return (
    <>
      {[...copies.keys()].map(key => (
        <Notice key={key} text={trans.__('The folder of %1 is being copied …', key)} busy />
      ))}
    </>
  );
}

interface NoticeProps {
  text: string;
  busy?: boolean;
  alert?: boolean;
  action?: string;
  onAction?: () => void;
}

function Notice({ text, busy = false, alert = false, action, onAction }: NoticeProps): JSX.Element {
  return (
    <div className="jp-ModelService-notice" role={alert ? 'alert' : 'status'} aria-busy={busy}>
      <p>{text}</p>
      {action !== undefined && (
        <button className="jp-Button jp-mod-styled jp-mod-accept" onClick={onAction}>
          {action}
        </button>
      )}
    </div>
  );
}

/** Up, Down, Home and End go to the same button of another row; Left and Right to another button of this one. */
function moveFocus(event: React.KeyboardEvent, list: HTMLUListElement | null): void {
  const row = (event.target as HTMLElement).closest('li');
  if (list === null || row === null) {
    return;
  }
  const rows = [...list.children] as HTMLElement[];
  const buttons = (of: HTMLElement) => [...of.querySelectorAll<HTMLElement>('button')];
  const at = rows.indexOf(row);
  const inRow = buttons(row).indexOf(event.target as HTMLElement);
  let target: HTMLElement | undefined;
  switch (event.key) {
    case 'ArrowUp':
    case 'ArrowDown': {
      const other = rows[at + (event.key === 'ArrowUp' ? -1 : 1)];
      target = other && buttons(other)[inRow];
      break;
    }
    case 'Home':
      target = buttons(rows[0])[inRow];
      break;
    case 'End':
      target = buttons(rows[rows.length - 1])[inRow];
      break;
    case 'ArrowLeft':
      target = buttons(row)[inRow - 1];
      break;
    case 'ArrowRight':
      target = buttons(row)[inRow + 1];
      break;
    default:
      return;
  }
  event.preventDefault();
  // A row in which this button cannot be pressed is reached at its name.
  (target instanceof HTMLButtonElement && target.disabled
    ? target.closest('li')?.querySelector('button')
    : target
  )?.focus();
}

/** Tells which rows can be seen, as far as the browser can tell. */
function useShownKeys(
  list: React.RefObject<HTMLUListElement>,
  all: string,
  onShown: (keys: readonly Key[]) => void
): void {
  useEffect(() => {
    if (list.current === null) {
      return;
    }
    if (typeof IntersectionObserver === 'undefined') {
      onShown(all.split(' '));
      return;
    }
    const shown = new Set<Key>();
    const observer = new IntersectionObserver(entries => {
      for (const entry of entries) {
        const key = (entry.target as HTMLElement).dataset.key ?? '';
        if (entry.isIntersecting) {
          shown.add(key);
        } else {
          shown.delete(key);
        }
      }
      onShown([...shown]);
    });
    for (const row of list.current.children) {
      observer.observe(row);
    }
    return () => observer.disconnect();
  }, [all, onShown]);
}
