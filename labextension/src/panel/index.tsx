/** The panel in the sidebar: loaded when it is first shown. */
import { Clipboard } from '@jupyterlab/apputils';
import { ReactWidget, UseSignal, addIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import type { Menu } from '@lumino/widgets';
import React from 'react';

import type { Key } from '../api';
import type { ServicesModel } from '../model/services';
import { CommandIDs } from '../parts';
import { PageLink } from '../view/pieces';
import { List } from './list';

export interface PanelOptions {
  model: ServicesModel;
  commands: CommandRegistry;
  /** The context menu of the application. */
  menu: Menu;
}

export class ServicesPanel extends ReactWidget {
  constructor(private readonly _panel: PanelOptions) {
    super();
    this.addClass('jp-ModelService-panel');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this._trans.__('Model services'));
  }

  /** Whether the rows have pictures of their calls. */
  get showCalls(): boolean {
    return this._showCalls;
  }

  set showCalls(show: boolean) {
    this._showCalls = show;
    if (!show) {
      this._panel.model.showCalls([]);
    }
    this.update();
  }

  handleEvent(event: Event): void {
    if (event.type === 'focusin') {
      this._held = event.target as HTMLElement;
    } else if (event.type === 'focusout') {
      const to = (event as FocusEvent).relatedTarget as Node | null;
      if (to !== null && !this._panel.menu.node.contains(to)) {
        this._held = null;
      }
    }
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.node.addEventListener('focusin', this);
    this.node.addEventListener('focusout', this);
    this._panel.menu.aboutToClose.connect(this._onMenuCloses, this);
  }

  protected onBeforeDetach(message: Message): void {
    this.node.removeEventListener('focusin', this);
    this.node.removeEventListener('focusout', this);
    this._panel.menu.aboutToClose.disconnect(this._onMenuCloses, this);
    super.onBeforeDetach(message);
  }

  protected onActivateRequest(_: Message): void {
    this._entering = true;
    this._enter();
  }

  protected render(): JSX.Element {
    const { model } = this._panel;
    return (
      <>
        <div className="jp-ModelService-toolbar">
          <h2>{this._trans.__('Model services')}</h2>
          <Tool label={this._trans.__('New service')} icon={addIcon} onClick={this._deploy} />
          <Tool label={this._trans.__('Refresh')} icon={refreshIcon} onClick={this._refresh} />
        </div>
        <UseSignal signal={model.changed}>{() => this._list()}</UseSignal>
        <UseSignal signal={model.changed}>{() => this._administration()}</UseSignal>
      </>
    );
  }

  /** Another page, at the Hub: administrators sign in there. */
  private _administration(): JSX.Element | null {
    const page = this._panel.model.administration;
    const text = this._trans.__('Administration');
    return page === null ? null : (
      <div className="jp-ModelService-administration">
        <PageLink
          page={page}
          label={this._trans.__('Administration of all model services')}
          text={text}
          trans={this._trans}
        />
      </div>
    );
  }

  private _list(): JSX.Element {
    const { model } = this._panel;
    return (
      <List
        status={model.status}
        problem={model.problem}
        connected={model.connected}
        services={model.services}
        shared={model.shared}
        user={model.site?.user ?? null}
        most={model.offer?.max_replicas ?? 100}
        wanted={this._wanted}
        pending={this._pending}
        copies={model.copies}
        calls={this._showCalls ? this._calls : null}
        trans={this._trans}
        onOpen={this._open}
        onScale={this._scale}
        onDeploy={this._deploy}
        onRetry={this._refresh}
        onCopy={this._copy}
        onTry={this._try}
        onShown={this._shown}
        onDrawn={this._drawn}
      />
    );
  }

  private readonly _copy = (text: string) => Clipboard.copyToSystem(text);

  /** The focus to the list; to itself as long as there is nothing to press. */
  private _enter(): void {
    const places = [
      '.jp-ModelService-list button[tabindex="0"]:not(:disabled)',
      '.jp-ModelService-notice button'
    ];
    const found = places.map(each => this.node.querySelector<HTMLElement>(each)).find(each => each !== null);
    (found ?? this.node).focus();
    this._entering &&= document.activeElement === this.node;
  }

  /** A menu leaves the focus to nobody: it goes back to the button that opened it. */
  private _onMenuCloses(menu: Menu): void {
    if (this._held !== null && menu.node.contains(document.activeElement)) {
      if (this._held.isConnected) {
        this._held.focus();
      } else {
        this._enter();
      }
    }
  }

  /** The focus waits for the list; and what had it may be gone, or cannot be pressed any more. */
  private readonly _drawn = () => {
    const active = document.activeElement;
    const held = this._held;
    const lost = held !== null && (!held.isConnected || held.matches(':disabled'));
    if ((this._entering && active === this.node) || (lost && (active === held || active === document.body))) {
      this._enter();
    }
  };

  private get _trans(): TranslationBundle {
    return this._panel.model.trans;
  }

  private _run(command: string, args: ReadonlyPartialJSONObject = {}): void {
    void this._panel.commands.execute(command, args);
  }

  private readonly _wanted = (key: Key) => this._panel.model.wanted(key);
  private readonly _pending = (key: Key) => this._panel.model.pending(key);
  private readonly _calls = (key: Key) => this._panel.model.calls(key);
  private readonly _open = (key: Key) => this._run(CommandIDs.open, { key });
  private readonly _scale = (key: Key, by: number) => this._run(CommandIDs.scale, { key, by });
  private readonly _try = (key: Key) => this._run(CommandIDs.tryIt, { key });
  private readonly _deploy = () => this._run(CommandIDs.deploy);
  private readonly _refresh = () => this._run(CommandIDs.refresh);
  private readonly _shown = (keys: readonly Key[]) =>
    this._panel.model.showCalls(this._showCalls ? keys : []);
  private _showCalls = true;
  private _entering = false;
  /** What had the focus last, unless that went elsewhere. */
  private _held: HTMLElement | null = null;
}

interface ToolProps {
  label: string;
  icon: typeof addIcon;
  onClick: () => void;
}

function Tool({ label, icon, onClick }: ToolProps): JSX.Element {
  return (
    <button className="jp-ModelService-tool" aria-label={label} title={label} onClick={onClick}>
      <icon.react tag="span" />
    </button>
  );
}
