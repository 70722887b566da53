/** The panel in the sidebar: loaded when it is first shown. */
import { ReactWidget, UseSignal, addIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import React from 'react';

import type { Key } from '../api';
import type { ServicesModel } from '../model/services';
import { CommandIDs } from '../parts';
import { List } from './list';

export interface PanelOptions {
  model: ServicesModel;
  commands: CommandRegistry;
}

export class ServicesPanel extends ReactWidget {
  constructor(private readonly _panel: PanelOptions) {
    super();
    this.addClass('jp-ModelService-panel');
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
      </>
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
        onShown={this._shown}
      />
    );
  }

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
  private readonly _deploy = () => this._run(CommandIDs.deploy);
  private readonly _refresh = () => this._run(CommandIDs.refresh);
  private readonly _shown = (keys: readonly Key[]) =>
    this._panel.model.showCalls(this._showCalls ? keys : []);
  private _showCalls = true;
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
