/** The widget of the console: it hands the model to the parts and their wishes to the model. */
import { Clipboard } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { Drawn } from '../drawn';
import type { ConsoleOptions } from '../parts';
import { whileSeen } from '../watching';
import { AnswerPart, Snippets } from './answer';
import { insertCell } from './cell';
import { CallForm, Samples } from './form';
import { ConsoleModel } from './model';
import { checked } from './request';
import { Call, cellOf, Language, snippet } from './snippets';

const LANGUAGES: readonly Language[] = ['curl', 'python', 'openai', 'magic'];

export class TryConsole extends ReactWidget {
  constructor(private readonly _options: ConsoleOptions) {
    super();
    this.addClass('jp-ModelService-work');
    this.addClass('jp-ModelService-console');
    this.model = new ConsoleModel(_options.model, _options.key);
    void this.model.begin();
    whileSeen(
      this,
      () => this._show(),
      () => this._hide()
    );
  }

  readonly model: ConsoleModel;

  dispose(): void {
    if (!this.isDisposed) {
      this._watch?.dispose();
      this.model.dispose();
      super.dispose();
    }
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    if (!this.node.contains(document.activeElement)) {
      this.node.querySelector<HTMLElement>('select:not(:disabled), input')?.focus();
    }
  }

  protected render(): JSX.Element {
    return <Drawn changed={this.model.changed} draw={() => this._draw()} />;
  }

  private _show(): void {
    this._watch ??= this.model.services.watch();
  }

  private _hide(): void {
    this._watch?.dispose();
    this._watch = null;
  }

  private _draw(): JSX.Element {
    const { model } = this;
    const { trans } = model.services;
    const { called, samples, wrong } = model;
    return (
      <>
        {samples !== null && (
          <Samples
            samples={samples}
            chosen={model.chosen}
            note={model.note}
            wrong={Object.keys(wrong).length > 0}
            trans={trans}
            onChoose={name => model.choose(name)}
            onKeep={name => model.keep(name)}
            onForget={name => model.forget(name)}
          />
        )}
        <CallForm
          typed={model.typed}
          wrong={wrong}
          sending={model.sending}
          trans={trans}
          onChange={part => model.set(part)}
          onSend={() => void model.send()}
          onStop={() => model.stop()}
        />
        <AnswerPart
          sending={model.sending}
          answer={model.answer}
          problem={model.problem}
          trans={trans}
          onCopy={text => Clipboard.copyToSystem(text)}
        />
        {called !== null && (
          <Snippets
            languages={LANGUAGES}
            write={language => snippet(language, this._call)}
            isPublic={called.public}
            trans={trans}
            onCopy={text => Clipboard.copyToSystem(text)}
            onInsert={this._options.notebooks === null ? null : this._insert}
          />
        )}
      </>
    );
  }

  private get _call(): Call {
    const { called, services, key, typed } = this.model;
    return {
      service: called ?? { endpoint: services.api.endpointUrl(key), public: false },
      name: services.site?.mode === 'hub' ? key : (called?.name ?? key),
      request: checked(typed, services.trans).request
    };
  }

  private readonly _insert = (language: Language): string | null => {
    const { trans } = this.model.services;
    const done = insertCell(this._options.notebooks, cellOf(language, this._call));
    return done ? null : trans.__('There is no open notebook: open one first.');
  };

  private _watch: IDisposable | null = null;
}
