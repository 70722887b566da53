/** Tabs with one of them in the order of Tab: arrows go from one to the next, and what they reach is shown. */
import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { may, Role } from '../roles';
import type { Key, Service } from '../types';
import type { Tab } from '../parts';

export interface TabInfo {
  id: Tab;
  text: string;
}

export function tabsOf(trans: TranslationBundle): TabInfo[] {
  return [
    { id: 'overview', text: trans.__('Overview') },
    { id: 'try', text: trans.__('Try') },
    { id: 'logs', text: trans.__('Logs') },
    { id: 'events', text: trans.__('Events') },
    { id: 'decisions', text: trans.__('Why Did It Scale') },
    { id: 'scaling', text: trans.__('Autoscaling') },
    { id: 'revisions', text: trans.__('Revisions') },
    { id: 'tokens', text: trans.__('Tokens') },
    { id: 'share', text: trans.__('Share') },
    { id: 'audit', text: trans.__('Audit') },
    { id: 'definition', text: trans.__('Definition') }
  ];
}

/** All of them. */
export const TABS: readonly Tab[] = tabsOf(nullTranslator.load('')).map(each => each.id);

/** Those whose whole content is for some only. */
const NEEDED: Partial<Record<Tab, Role>> = {
  tokens: 'owner',
  audit: 'owner',
  definition: 'owner'
};

/** What is offered to whom. */
export function isFor(service: Service, tab: Tab): boolean {
  return may(service, NEEDED[tab] ?? 'viewer');
}

/** Before the ids of the elements of one view: each service has one view at most. */
export function prefixOf(key: Key): string {
  return `jp-ModelService-view-${key.replace(/[^A-Za-z0-9-]/g, '-')}`;
}

export interface TabsProps {
  label: string;
  /** Of this view among all that are open: before the ids of elements. */
  prefix: string;
  tabs: readonly TabInfo[];
  shown: Tab;
  onTab: (tab: Tab) => void;
}

export function Tabs({ label, prefix, tabs, shown, onTab }: TabsProps): JSX.Element {
  const onKeyDown = (event: React.KeyboardEvent<HTMLElement>) => {
    const at = tabs.findIndex(each => each.id === shown);
    const places: Record<string, number> = {
      ArrowLeft: (at + tabs.length - 1) % tabs.length,
      ArrowRight: (at + 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1
    };
    if (event.key in places) {
      event.preventDefault();
      const { id } = tabs[places[event.key]];
      const list = event.currentTarget;
      onTab(id);
      list.querySelector<HTMLElement>(`[data-tab="${id}"]`)?.focus();
    }
  };
  return (
    <div className="jp-ModelService-tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
      {tabs.map(({ id, text }) => (
        <button
          key={id}
          type="button"
          role="tab"
          id={tabId(prefix, id)}
          data-tab={id}
          data-text={text}
          aria-selected={id === shown}
          aria-controls={panelId(prefix, id)}
          tabIndex={id === shown ? 0 : -1}
          onClick={() => onTab(id)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

export function tabId(prefix: string, tab: Tab): string {
  return `${prefix}-tab-${tab}`;
}

export function panelId(prefix: string, tab: Tab): string {
  return `${prefix}-panel-${tab}`;
}

export interface TabPanelProps {
  prefix: string;
  tab: Tab;
  shown: boolean;
  render: () => JSX.Element;
}

/** Made when it is first shown; drawn once more when it is left, so that it keeps nothing that is forgotten then; hidden,
 * it stays as it was and is not drawn again. */
export function TabPanel({ prefix, tab, shown, render }: TabPanelProps): JSX.Element {
  const [seen, setSeen] = React.useState(shown);
  if (shown && !seen) {
    setSeen(true);
  }
  return (
    <div
      className="jp-ModelService-tabpanel"
      role="tabpanel"
      id={panelId(prefix, tab)}
      aria-labelledby={tabId(prefix, tab)}
      hidden={!shown}
    >
      {(shown || seen) && <Still shown={shown} render={render} />}
    </div>
  );
}

const Still = React.memo(
  function Still({ render }: { shown: boolean; render: () => JSX.Element }): JSX.Element {
    return render();
  },
  (drawn, next) => !drawn.shown && !next.shown
);
