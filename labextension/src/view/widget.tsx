/** The widget of the view: it hands the model to the page and the page's wishes to the model, and draws when it is seen. */
import { Clipboard, Dialog, showDialog } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { ISignal, Signal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';
import React from 'react';

import type { NewToken, ShareInfo, Token } from '../types';
import type { ServiceModel } from '../model/service';
import type { ServicesModel } from '../model/services';
import { CommandIDs, Tab, ViewOptions, ViewWidget } from '../parts';
import { whileSeen } from '../watching';
import { may } from '../roles';
import type { AccessActions } from './access';
import type { AuditActions } from './audit';
import { Page, PageActions } from './page';
import { confirmRollback } from './rollback';
import { panelId, prefixOf, tabId, TABS } from './tabs';

/** Between two drawings of what changes by itself; what somebody does here is drawn at once. */
const EVERY = 1000; // milliseconds
const SPAN = 590; // seconds: the longest that the gateway keeps at its finest

export class ServiceView extends Panel implements ViewWidget {
  constructor(private readonly _options: ViewOptions) {
    super();
    this.addClass('jp-ModelService-view');
    this._service = _options.model.open(_options.key);
    this._service.span = SPAN;
    this._tab = known(_options.tab);
    this._page = new PageWidget(() => <Drawn page={this._render()} onDrawn={this._enter} />);
    this.addWidget(this._page);
    this._service.changed.connect(this._onChanged, this);
    this._service.logs.changed.connect(this._onChanged, this);
    this._service.access.changed.connect(this._onChanged, this);
    this._service.audit.changed.connect(this._onChanged, this);
    this._model.changed.connect(this._onConnection, this);
    this._model.activeChanged.connect(this._onActive, this);
    whileSeen(
      this,
      () => this._show(),
      () => this._hide()
    );
  }

  get tab(): Tab {
    return this._tab;
  }

  get tabChanged(): ISignal<this, Tab> {
    return this._tabChanged;
  }

  showTab(tab: Tab): void {
    const next = known(tab);
    if (next !== this._tab) {
      this._tab = next;
      this._fresh = null;
      this._tabChanged.emit(next);
    }
    if (next === 'revisions') {
      void this._service.refresh(); // whether the folder has changed is only told to who asks
    }
    this._settle();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    clearTimeout(this._timer);
    this._watch?.dispose();
    this._service.changed.disconnect(this._onChanged, this);
    this._service.logs.changed.disconnect(this._onChanged, this);
    this._service.access.changed.disconnect(this._onChanged, this);
    this._service.audit.changed.disconnect(this._onChanged, this);
    this._service.access.shown = false;
    this._service.audit.shown = false;
    this._model.changed.disconnect(this._onConnection, this);
    this._model.activeChanged.disconnect(this._onActive, this);
    this._service.logs.shown = false;
    this._service.dispose();
    Signal.clearData(this);
    super.dispose();
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    if (!this.node.contains(document.activeElement)) {
      this.node.tabIndex = -1;
      this.node.focus();
    }
    this._entering = true;
    this._enter();
  }

  // --- when it is drawn ------------------------------------------------------------------------------------

  private _show(): void {
    if (this._watch === null) {
      const again = this._service.tokens !== null;
      this._watch = this._service.watch();
      if (again) {
        void this._service.refresh(); // what happened meanwhile
      }
    }
    this._settle();
  }

  private _hide(): void {
    this._watch?.dispose();
    this._watch = null;
    this._service.logs.shown = false;
    this._service.access.shown = false;
    this._service.audit.shown = false;
    this._service.decisionsShown = false;
    clearTimeout(this._timer);
    this._timer = undefined;
    if (this._fresh !== null) {
      this._fresh = null;
      this._draw(); // a token is in the page no longer than somebody looks at it
    }
  }

  private _onActive(_: ServicesModel, active: boolean): void {
    if (active && this._watch !== null && this._service.tokens !== null) {
      void this._service.refresh();
      this._settle();
    }
  }

  /** What happened while the stream was not there was not told. */
  private _onConnection(model: ServicesModel): void {
    const connected = model.connected;
    if (connected !== this._connected) {
      const lost = this._connected === 'polling';
      this._connected = connected;
      if (lost && connected === 'stream' && this._watch !== null) {
        void this._service.refresh();
      }
    }
  }

  /** Activated, it has the focus as a whole; that goes on to its tabs, or to what is in their place, once they are there.
   * Not later: a click between things gives it the focus, too. */
  private readonly _enter = () => {
    if (this._entering && document.activeElement === this.node) {
      const places = ['[role="tab"][aria-selected="true"]', '.jp-ModelService-said button'];
      places
        .map(each => this.node.querySelector<HTMLElement>(each))
        .find(each => each !== null)
        ?.focus();
    }
    this._entering &&= document.activeElement === this.node;
  };

  private _onChanged(): void {
    this._showAccess(); // the role may have become known
    if (this._timer === undefined && this._watch !== null && this._model.active) {
      const wait = Math.max(0, this._drawn + EVERY - performance.now());
      this._timer = setTimeout(() => this._draw(), wait);
    }
  }

  private _draw(): void {
    clearTimeout(this._timer);
    this._timer = undefined;
    this._drawn = performance.now();
    this._page.update();
  }

  /** Everything as the tab wants it, at once. */
  private _settle(): void {
    this._service.logs.shown = this._tab === 'logs' && this._watch !== null;
    this._service.decisionsShown = this._tab === 'decisions' && this._watch !== null;
    this._showAccess();
    this.toggleClass('jp-mod-try', this._tab === 'try');
    if (this._tab === 'try') {
      void this._makeConsole();
    }
    this._console?.setHidden(this._tab !== 'try');
    this._draw();
  }

  /** Only the owner is told of these. */
  private _showAccess(): void {
    const { service, access, audit } = this._service;
    const told = this._watch !== null && may(service, 'owner');
    access.shown = told && this._tab === 'share';
    audit.shown = told && this._tab === 'audit';
  }

  private async _makeConsole(): Promise<void> {
    if (this._making || this._service.gone) {
      return;
    }
    this._making = true;
    const found = await import('../console').catch(() => null);
    if (found === null || this.isDisposed) {
      this._making = false; // the server did not send it: the next look asks again
      return;
    }
    const made = found.createConsole(this._options);
    const prefix = prefixOf(this._options.key);
    made.addClass('jp-ModelService-try');
    made.node.setAttribute('role', 'tabpanel');
    made.node.setAttribute('aria-labelledby', tabId(prefix, 'try'));
    made.node.id = panelId(prefix, 'try');
    made.setHidden(this._tab !== 'try');
    this._console = made;
    this.addWidget(made);
  }

  private _render(): JSX.Element {
    const { _service: service, _model: model } = this;
    const { key } = this._options;
    return (
      <Page
        id={key}
        service={service.service}
        gone={service.gone}
        problem={service.problem ?? model.problem}
        wanted={model.wanted(key)}
        offer={model.offer}
        pending={service.pending}
        copy={model.copies.get(key) ?? null}
        tab={this._tab}
        series={service.series}
        span={service.span}
        events={service.events}
        decisions={service.decisions}
        tokens={service.tokens}
        fresh={this._fresh}
        access={{
          ...this._access,
          access: service.access.access,
          uses: service.access.uses,
          people: service.access.people,
          problem: service.access.problem,
          now: model.now,
          trans: model.trans
        }}
        audit={{
          ...this._audit,
          entries: service.audit.entries,
          more: service.audit.more,
          problem: service.audit.problem,
          now: model.now,
          trans: model.trans
        }}
        log={{
          lines: service.logs.lines,
          lost: service.logs.lost,
          replica: service.logs.replica,
          gone: service.logs.gone,
          problem: service.logs.problem,
          following: service.logs.following,
          catchingUp: service.logs.catchingUp
        }}
        now={model.now}
        actions={this._actions}
        trans={model.trans}
      />
    );
  }

  // --- what is done here -----------------------------------------------------------------------------------

  private _run(command: string, args: ReadonlyPartialJSONObject = {}): void {
    void this._options.commands
      .execute(command, { key: this._options.key, ...args })
      .catch(() => undefined) // a command tells by itself what went wrong
      .finally(() => this._drawIfThere());
    this._drawIfThere();
  }

  /** What the model rejects with is told where it was done; what came of it is drawn at once. */
  private async _do(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } finally {
      this._drawIfThere();
    }
  }

  private _drawIfThere(): void {
    if (!this.isDisposed && this._watch !== null) {
      this._draw();
    }
  }

  private async _revoke(token: Token): Promise<boolean> {
    const { trans } = this._model;
    const answer = await showDialog({
      title: trans.__('Revoke the token %1?', token.name || token.id),
      body: trans.__('Calls with it are refused from then on. That cannot be undone.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Revoke') })]
    });
    if (answer.button.accept) {
      await this._do(() => this._service.revokeToken(token.id));
      if (this._fresh?.id === token.id) {
        this._fresh = null;
        this._drawIfThere();
      }
    }
    return answer.button.accept;
  }

  private async _unshare({ kind, name }: ShareInfo): Promise<boolean> {
    const { trans } = this._model;
    const answer = await showDialog({
      title: trans.__('Share %1 with %2 no more?', this._options.key, name),
      body: trans.__('The next call is refused then; calls under way are not broken off.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Unshare') })]
    });
    if (answer.button.accept) {
      await this._do(() => this._service.access.unshare(kind, name));
    }
    return answer.button.accept;
  }

  private async _rollBack(revision: number): Promise<void> {
    if (await confirmRollback(this._service.service, this._options.key, revision, this._model.trans)) {
      await this._do(() => this._service.rollback(revision));
    }
  }

  private async _endScaling(): Promise<boolean> {
    const { trans } = this._model;
    const answer = await showDialog({
      title: trans.__('End autoscaling of %1?', this._options.key),
      body: trans.__(
        'Its bounds, rules and schedules are removed. The number of replicas stays as it is now.'
      ),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('End Autoscaling') })]
    });
    if (answer.button.accept) {
      await this._do(() => this._service.clearAutoscaling());
    }
    return answer.button.accept;
  }

  private readonly _actions: PageActions = {
    onTab: tab => this.showTab(tab),
    onRetry: () => {
      void this._model.refresh();
      void this._service.refresh();
    },
    onClose: () => this.parent?.close(),
    onSpan: seconds => {
      this._service.span = seconds;
      this._draw();
    },
    onLog: replica => {
      this._service.logs.show(replica);
      this.showTab('logs');
    },
    onReplica: replica => {
      this._service.logs.show(replica);
      this._draw();
    },
    onFollow: following => {
      this._service.logs.following = following;
      this._draw();
    },
    onCopy: text => Clipboard.copyToSystem(text),
    onScale: by => this._run(CommandIDs.scale, { by }),
    onStart: () => this._run(CommandIDs.start),
    onStop: () => this._run(CommandIDs.stop),
    onRestart: () => this._run(CommandIDs.restart),
    onUpdate: () => this._run(CommandIDs.update),
    onDelete: () => this._run(CommandIDs.remove),
    onVisibility: word => this._run(CommandIDs.setVisibility, { visibility: word }),
    onSave: body => this._do(() => this._service.setAutoscaling(body)),
    onChange: body => this._do(() => this._service.changeAutoscaling(body)),
    onEnd: () => this._endScaling(),
    onResume: () => this._do(() => this._service.resume()),
    onAddRule: rule => this._do(() => this._service.addRule(rule)),
    onRemoveRule: id => this._do(() => this._service.removeRule(id)),
    onAddSchedule: schedule => this._do(() => this._service.addSchedule(schedule)),
    onRemoveSchedule: id => this._do(() => this._service.removeSchedule(id)),
    onTakeUp: () => this._do(() => this._service.update({})),
    onRollback: revision => this._rollBack(revision),
    onMakeToken: body =>
      this._do(async () => {
        this._fresh = await this._service.generateToken(body);
      }),
    onForgetToken: () => {
      this._fresh = null;
      this._draw();
    },
    onTokenChange: (token, change) => this._do(() => this._service.changeToken(token.id, change)),
    onRotate: (token, overlap) =>
      this._do(async () => {
        this._fresh = await this._service.rotateToken(token.id, overlap);
      }),
    onRevoke: token => this._revoke(token)
  };

  private readonly _access: AccessActions = {
    onShare: (kind, name, body) => this._do(() => this._service.access.share(kind, name, body)),
    onUnshare: share => this._unshare(share),
    onOrigins: origins => this._do(() => this._service.access.allowOrigins(origins)),
    onAsk: user => this._do(() => this._service.access.ask(user)),
    onLook: () => void this._service.access.refresh()
  };

  private readonly _audit: AuditActions = {
    onLook: () => void this._service.audit.refresh(),
    onOlder: () => this._do(() => this._service.audit.older()),
    onSave: async () => {
      const name = `${this._options.key.replace('/', '-')}-audit.jsonl`;
      saveAs(name, await this._service.audit.lines());
    }
  };

  private get _model(): ServicesModel {
    return this._options.model;
  }

  private readonly _service: ServiceModel;
  private readonly _tabChanged = new Signal<this, Tab>(this);
  private readonly _page: PageWidget;
  private _tab: Tab;
  /** Kept here and nowhere else, until it is dismissed, or its tab or the view is left. */
  private _fresh: NewToken | null = null;
  private _console: Widget | null = null;
  private _making = false;
  private _entering = false;
  private _watch: IDisposable | null = null;
  private _connected: ServicesModel['connected'] = 'no';
  private _drawn = -EVERY;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** Tells each time that the page has been drawn. */
function Drawn({ page, onDrawn }: { page: JSX.Element; onDrawn: () => void }): JSX.Element {
  React.useLayoutEffect(onDrawn);
  return page;
}

class PageWidget extends ReactWidget {
  constructor(private readonly _page: () => JSX.Element) {
    super();
    this.addClass('jp-ModelService-page');
  }

  protected render(): JSX.Element {
    return this._page();
  }
}

/** Hands the browser a file to keep. */
function saveAs(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/jsonl' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

/** A view that is restored may have been left by another version. */
function known(tab: Tab | undefined): Tab {
  return TABS.find(each => each === tab) ?? 'overview';
}
